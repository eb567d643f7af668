package verify

import (
	"os"
	"testing"
)

func TestZZDump(t *testing.T) {
	dir := os.Getenv("DUMP_CASE")
	if dir == "" {
		t.Skip()
	}
	f := build(t, design{prompts: 60, tokens: 120, decoys: 999, broken: true, hostile: " <script>alert(1)</script> \x1b[31mred \u202eevil مرحبا 你好世界 done."})
	os.RemoveAll(dir)
	os.MkdirAll(dir, 0o755)
	os.CopyFS(dir, os.DirFS(f.dir))
	data, _ := os.ReadFile(f.zip)
	os.WriteFile(dir+".zip", data, 0o644)
}
