package integrity

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Checkpoint is a signed head of the ledger's tree that was found to be that of its
// first lines.
type Checkpoint struct {
	ledger.Checkpoint
	File  string
	Last  time.Time // of the last event under it
	Token []byte    // RFC 3161 token over the note, nil if there is none
}

// readCheckpoints reads the signed heads, by the number of lines that they are of.
func (s *Sealed) readCheckpoints(fsys fs.FS) (map[int64]*Checkpoint, error) {
	entries, err := fs.ReadDir(fsys, ledger.CheckpointsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for checkpoints: %w", err)
	}
	found, byFile := map[int64]*Checkpoint{}, map[string]*Checkpoint{}
	for _, e := range entries { // sorted: a note, then its token
		file := path.Join(ledger.CheckpointsDir, e.Name())
		data, err := ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		if name, isToken := strings.CutSuffix(file, ".tsr"); isToken {
			of := byFile[name]
			if of == nil {
				return nil, problem(CodeCheckpoint, ExitAltered, file, "a timestamp of a checkpoint that is not there")
			}
			of.Token = data
			continue
		}
		c, err := ledger.OpenCheckpoint(s.Predicate.CaseID, data, s.Signer.Key)
		if err != nil {
			return nil, problem(CodeCheckpoint, ExitBadSignature, file, "%v", err)
		}
		if ledger.CheckpointName(c.Size) != file {
			return nil, problem(CodeCheckpoint, ExitAltered, file, "of %d lines, which its name does not say", c.Size)
		}
		found[c.Size] = &Checkpoint{Checkpoint: c, File: file}
		byFile[file] = found[c.Size]
	}
	return found, nil
}

// meet holds a checkpoint against the tree when it has as many lines.
func (s *Sealed) meet(found map[int64]*Checkpoint, tree *ledger.Tree, at time.Time) error {
	c := found[tree.Size()]
	if c == nil {
		return nil
	}
	if tree.Root() != c.Root {
		return problem(CodeCheckpoint, ExitAltered, c.File, "the ledger's first %d lines do not have the root that was signed then", c.Size)
	}
	c.Last = at
	s.Checkpoints = append(s.Checkpoints, *c)
	delete(found, c.Size)
	return nil
}
