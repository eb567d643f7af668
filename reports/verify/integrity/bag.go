package integrity

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
)

// TagManifestName is the manifest of a bag's own files.
const TagManifestName = "tagmanifest-sha256.txt"

// unbag goes into a bag (RFC 8493), if the package is one: its case is the payload.
// Every file of the bag is as its two manifests list it, and no other is there.
func (p *Package) unbag() error {
	if _, err := fs.Stat(p.FS, "bagit.txt"); err != nil {
		return nil // a case
	}
	head, err := ReadFile(p.FS, "bagit.txt")
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(head, []byte("BagIt-Version: ")) {
		return problem(CodeArchive, ExitAltered, "bagit.txt", "not the declaration of a bag")
	}
	payload := func(name string) bool { return strings.HasPrefix(name, "data/") }
	for _, m := range []struct {
		name   string
		exempt func(string) bool
	}{
		{TagManifestName, func(name string) bool { return payload(name) || name == TagManifestName }},
		{ManifestName, func(name string) bool { return !payload(name) }},
	} {
		data, err := ReadFile(p.FS, m.name)
		if err != nil {
			return err
		}
		err = ledger.CheckManifest(p.FS, data, m.exempt)
		var bad *ledger.ManifestError
		if errors.As(err, &bad) {
			return problem(CodeArchive, ExitAltered, bad.Path, "not as %s of the bag lists it: %s", m.name, bad.Kind)
		}
		if err != nil {
			return err
		}
	}
	if p.FS, err = fs.Sub(p.FS, "data"); err != nil {
		return err
	}
	p.Bag = true
	return nil
}
