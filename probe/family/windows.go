package family

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"

	"github.com/stillmark/stillmark/watermark/served"
)

// maxWindowsFile bounds a file of served windows in a case, in bytes.
const maxWindowsFile = 1 << 32

// WindowsName is the name under which a file of served windows lies in a case: its
// content is part of the plan through it.
func WindowsName(data []byte) string {
	sum := sha256.Sum256(data)
	return "filters/" + hex.EncodeToString(sum[:]) + ".windows"
}

// loadFilter reads a test's filter and checks that it is the planned one.
func loadFilter(files fs.FS, name string) (served.Windows, error) {
	data, err := readCaseFile(files, name, maxWindowsFile)
	if err != nil {
		return nil, fmt.Errorf("read the filter: %w", err)
	}
	if WindowsName(data) != name {
		return nil, fmt.Errorf("filter %s is not the file that the plan names: its hash differs", name)
	}
	return served.Read(data)
}
