package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/watermark"
)

// Finding is one thing that a [Registry.Check] looked at.
type Finding struct {
	What string `json:"what"`
	// Problem is empty where all is well.
	Problem string `json:"problem,omitempty"`
	// Grave findings mean that a file is not what was written. Others are for the
	// operator to know.
	Grave bool `json:"grave,omitempty"`
}

// Check looks at all files of the registry: that loading it succeeded says that
// the log is unbroken, its steps were allowed and every key file is the key that
// it names; beyond that, commitments are opened with the keys, timestamps are
// verified, and files that the log does not name are listed. Keys that served
// without a published commitment are named.
func (r *Registry) Check(verify func(token []byte, digest [sha256.Size]byte) (Stamp, error)) []Finding {
	list := []Finding{{What: fmt.Sprintf("log unbroken: %d entries, head %s", len(r.events), r.head)}}
	for _, e := range r.order {
		f := Finding{What: fmt.Sprintf("key %s: epoch %s, %s", e.Key.ID, e.Key.Epoch, slotOf(e.Key))}
		if _, _, ok := e.Served(); ok && e.Exploratory != "" {
			f.Problem = "exploratory: " + e.Exploratory
		}
		list = append(list, f)
	}
	for _, c := range r.commits {
		list = append(list, r.checkCommitment(c, verify))
	}
	return append(list, r.strangers()...)
}

func (r *Registry) checkCommitment(c *Commitment, verify func([]byte, [sha256.Size]byte) (Stamp, error)) Finding {
	f := Finding{What: fmt.Sprintf("commitment %s: %d leaves", c.Root, c.Leaves)}
	err := func() error {
		data, err := watermark.ReadPrivate(r.CommitmentPath(c.Root), maxCommitment)
		if err != nil {
			return err
		}
		digest := sha256.Sum256(data)
		if hex.EncodeToString(digest[:]) != c.SHA256 {
			return errors.New("its file is not what was committed")
		}
		parsed, err := watermark.ParseCommitment(data)
		if err != nil {
			return err
		}
		if parsed.Root != c.Root || len(parsed.Leaves) != c.Leaves {
			return errors.New("root or leaves are not those of the log")
		}
		for _, id := range c.Keys {
			if err := parsed.Check(r.entries[id].Key); err != nil {
				return err
			}
		}
		if len(c.Stamps) == 0 || verify == nil {
			return nil
		}
		token, err := watermark.ReadPrivate(r.CommitmentPath(c.Root)+stampSuffix, maxStamp)
		if err != nil {
			return err
		}
		stamp, err := verify(token, digest)
		if err != nil {
			return err
		}
		if !stamp.Time.Equal(c.Stamps[0].Time) || !stamp.Latest.Equal(c.Stamps[0].Latest) || stamp.Authority != c.Stamps[0].Authority {
			return errors.New("the timestamp is another than the one that was published")
		}
		return nil
	}()
	switch {
	case err != nil:
		f.Problem, f.Grave = err.Error(), true
	case len(c.Stamps) == 0:
		f.Problem = "it bears no third party's timestamp: its keys stay exploratory until it is published"
	default:
		f.What += fmt.Sprintf(", timestamped %s by %q", c.Stamps[0].Time.Format("2006-01-02T15:04:05Z07:00"), c.Stamps[0].Authority)
	}
	return f
}

// strangers are the files that the log does not name.
func (r *Registry) strangers() []Finding {
	known := map[string]bool{logName: true, keysDir: true, commitsDir: true}
	for id := range r.entries {
		known[filepath.Join(keysDir, id+".json")] = true
	}
	for _, c := range r.commits {
		path := filepath.Join(commitsDir, c.Root+".json")
		known[path] = true
		known[path+stampSuffix] = len(c.Stamps) > 0
	}
	var list []Finding
	err := filepath.WalkDir(r.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(r.dir, path)
		if err != nil || name == "." || known[name] {
			return err
		}
		problem := "the log does not name it"
		switch {
		case strings.HasPrefix(entry.Name(), ".key-"):
			problem = "an interrupted writer left it; it can be deleted"
		case filepath.Dir(name) == keysDir:
			problem = "a key that was not taken in: add it again, or delete it"
		}
		list = append(list, Finding{What: "file " + name, Problem: problem})
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		list = append(list, Finding{What: "files", Problem: err.Error(), Grave: true})
	}
	slices.SortFunc(list, func(a, b Finding) int { return strings.Compare(a.What, b.What) })
	return list
}
