module github.com/stillmark/stillmark/watermark/integration

go 1.26.0

require (
	github.com/hybridgroup/yzma v1.28.0
	github.com/stillmark/stillmark v0.0.0-00010101000000-000000000000
)

require (
	github.com/ebitengine/purego v0.10.0 // indirect
	github.com/jupiterrider/ffi v0.7.0 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
)

replace github.com/stillmark/stillmark => ../..
