package registry

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stillmark/stillmark/watermark"
)

// Slot is what one key at a time serves.
type Slot struct {
	Model   string `json:"model"`
	Channel string `json:"channel"`
	Cohort  string `json:"cohort"` // the label of the key; empty for keys without one
}

func slotOf(k *watermark.Key) Slot { return Slot{Model: k.Model, Channel: k.Channel, Cohort: k.Label} }

func (s Slot) String() string {
	name := func(s string) string {
		if s == "" {
			return "(none)"
		}
		return s
	}
	return fmt.Sprintf("model %s, channel %s, cohort %s", name(s.Model), name(s.Channel), name(s.Cohort))
}

// Entry is one key of a registry. A registry and its entries are never changed:
// a newer registry has new ones.
type Entry struct {
	Key   *watermark.Key
	Decoy bool // committed and never served
	Like  string
	Added time.Time
	// Serving, Retired and Disclosed are the times of the steps, zero for none;
	// they may lie in the future. A key that was retired before it served never
	// did: see Served.
	Serving, Retired, Disclosed time.Time
	// Exploratory says why what is served under the key cannot be exact evidence.
	Exploratory string
	// Roots are the commitments that the key is a leaf of, in their order.
	Roots []string

	servingLogged time.Time // when the log learned of Serving
}

// State is the key's state at a time.
func (e *Entry) State(t time.Time) State {
	reached := func(at time.Time) bool { return !at.IsZero() && !t.Before(at) }
	switch {
	case reached(e.Disclosed):
		return Disclosed
	case reached(e.Retired):
		return Retired
	case reached(e.Serving):
		return Serving
	}
	return Planned
}

// Served is when the key serves: from (included) until (not included; zero for no
// end). ok is false for a key that never does.
func (e *Entry) Served() (from, until time.Time, ok bool) {
	if e.Serving.IsZero() || !e.Retired.IsZero() && !e.Retired.After(e.Serving) {
		return time.Time{}, time.Time{}, false
	}
	return e.Serving, e.Retired, true
}

// Commitment is a commitment of a registry.
type Commitment struct {
	Root   string    `json:"root"`
	Time   time.Time `json:"time"`   // when it was made, by this machine's clock
	Keys   []string  `json:"keys"`   // ids of the registry's keys among its leaves
	Leaves int       `json:"leaves"` // subkeys of accounts among them
	SHA256 string    `json:"sha256"` // of its file
	// Stamps are the third parties' timestamps that it bears.
	Stamps []Stamp `json:"stamps"`
}

// published reports whether a stamp is earlier than t, its own inaccuracy
// counted against it.
func (c *Commitment) published(t time.Time) bool {
	return slices.ContainsFunc(c.Stamps, func(s Stamp) bool { return s.Latest.Before(t) })
}

// Registry is a registry as it stood when it was read.
type Registry struct {
	dir     string
	entries map[string]*Entry
	order   []*Entry // as they were added
	commits []*Commitment
	byRoot  map[string]*Commitment
	slots   map[Slot][]*Entry // that serve, by the time at which they begin
	events  []*Event
	head    string // hash of the last line
	size    int64  // bytes of whole lines
	log     fs.FileInfo
}

// Load reads a registry. All its keys are opened; nothing is locked.
func Load(dir string) (*Registry, error) { return load(dir, nil) }

// load takes keys that before already opened: key files never change.
func load(dir string, before *Registry) (*Registry, error) {
	if err := checkFolders(dir); err != nil {
		return nil, err
	}
	f, err := openPrivate(filepath.Join(dir, logName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no key registry, it has no %s: %w", dir, logName, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(dir, f, before)
}

// read folds an open log.
func read(dir string, f *os.File, before *Registry) (*Registry, error) {
	r := &Registry{dir: dir, entries: map[string]*Entry{}, byRoot: map[string]*Commitment{}, slots: map[Slot][]*Entry{}}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the registry: %w", err)
	}
	r.log = info
	var unopened error // not the log's fault
	r.size, r.head, err = readLog(f, func(e *Event) error {
		keys := map[string]*watermark.Key{}
		if e.Kind == EventAdded {
			for _, id := range e.Keys {
				if keys[id], unopened = r.open(id, before); unopened != nil {
					return unopened
				}
			}
		}
		return r.apply(e, keys)
	})
	if unopened != nil {
		err = unopened
	}
	if err != nil {
		return nil, fmt.Errorf("reading the registry %s: %w", dir, err)
	}
	return r, nil
}

// open reads a key file of the registry.
func (r *Registry) open(id string, before *Registry) (*watermark.Key, error) {
	if before != nil {
		if e := before.entries[id]; e != nil {
			return e.Key, nil
		}
	}
	k, err := watermark.LoadKey(r.keyPath(id))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: the log names key %s, and its file is missing: %w", watermark.ErrMalformed, id, err)
	case err != nil:
		return nil, err
	case k.ID != id:
		return nil, fmt.Errorf("%w: the file of key %s holds key %s", watermark.ErrMalformed, id, k.ID)
	}
	return k, nil
}

func (r *Registry) keyPath(id string) string { return filepath.Join(r.dir, keysDir, id+".json") }

// CommitmentPath is where a commitment lies; its timestamp has ".tsr" added.
func (r *Registry) CommitmentPath(root string) string {
	return filepath.Join(r.dir, commitsDir, root+".json")
}

// openPrivate opens a file that must be closed to others.
func openPrivate(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = watermark.CheckPrivate(path, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkFolders(dir string) error {
	for _, path := range []string{dir, filepath.Join(dir, keysDir), filepath.Join(dir, commitsDir)} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("opening the registry: %w", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("opening the registry: %s is not a folder: %w", path, watermark.ErrMalformed)
		}
		if err := watermark.CheckPrivate(path, info); err != nil {
			return fmt.Errorf("opening the registry: %w", err)
		}
	}
	return nil
}

// Serving is the key that serves a slot at a time. It does not allocate.
func (r *Registry) Serving(s Slot, t time.Time) (*Entry, bool) {
	list := r.slots[s]
	// The last one that began: those before it ended when it did, at the latest.
	for i := len(list) - 1; i >= 0; i-- {
		if e := list[i]; !t.Before(e.Serving) {
			return e, e.Retired.IsZero() || t.Before(e.Retired)
		}
	}
	return nil, false
}

// Slots lists the slots that any key, decoys included, is for.
func (r *Registry) Slots() []Slot {
	seen := map[Slot]bool{}
	for _, e := range r.order {
		seen[slotOf(e.Key)] = true
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b Slot) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Cohort, b.Cohort))
	})
}

// Entries lists the keys in the order in which they were added.
func (r *Registry) Entries() []*Entry { return slices.Clone(r.order) }

// Commitments lists the commitments in their order.
func (r *Registry) Commitments() []*Commitment { return slices.Clone(r.commits) }

// Events lists the lines of the log.
func (r *Registry) Events() []*Event { return slices.Clone(r.events) }

// Head is the SHA-256 of the log's last line. Kept elsewhere, it shows later that
// no line up to it was changed and none at the end was cut off.
func (r *Registry) Head() string { return r.head }

// Dir is the registry's folder.
func (r *Registry) Dir() string { return r.dir }

// Find is the key of an id, or of the beginning of one, four digits at least.
func (r *Registry) Find(id string) (*Entry, error) {
	if e := r.entries[id]; e != nil {
		return e, nil
	}
	var found []*Entry
	for _, e := range r.order {
		if len(id) >= 4 && strings.HasPrefix(e.Key.ID, id) {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("key %q: %w", id, ErrUnknown)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d keys of the registry begin with %q: %w", len(found), id, ErrUnknown)
}

// Covered says whether the key is a leaf of a commitment that was published
// before t, and otherwise why not.
func (r *Registry) Covered(e *Entry, t time.Time) (ok bool, why string) {
	why = "no commitment was published before serving"
	for _, root := range e.Roots {
		c := r.byRoot[root]
		if c.published(t) {
			return true, ""
		}
		for _, s := range c.Stamps {
			why = fmt.Sprintf("the timestamp on the commitment says %s at the latest, which is not earlier than serving", s.Latest.Format(time.RFC3339))
		}
		if len(c.Stamps) == 0 {
			why = "the commitment bears no third party's timestamp"
		}
	}
	return false, why
}
