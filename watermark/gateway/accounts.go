package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// What an account's replies may be.
const (
	MarkAlways   = "always"   // marked; a request to leave the mark out is refused
	MarkOptional = "optional" // marked, unless the request asks to leave the mark out
	MarkNever    = "never"    // not marked
)

// Account is whose request it is, and how it is marked.
type Account struct {
	// Hash is the SHA-256 of the API key in hex; "*" for everybody without a row.
	Hash string
	// Cohort is the label of the key under which the account is served; empty for the
	// key without a label.
	Cohort string
	// Name is the account's under a key with two channels, which needs it: whose
	// tracing key marks its share.
	Name string
	// Mark is MarkAlways, MarkOptional or MarkNever.
	Mark string
}

// short names an account in logs.
func (a *Account) short() string { return a.Hash[:min(len(a.Hash), 12)] }

// Limits of a file of accounts.
const (
	maxAccounts     = 1 << 20 // rows: what one identification can tell apart
	maxAccountsFile = 256 << 20
	maxAccountField = 256 // bytes: watermark's limit for names
)

// Accounts says whose an API key is. The file is CSV with a header line:
//
//	key_sha256,cohort,account,mark
//	5e88…1542,acme,,
//	*,,,optional
//
// key_sha256 is the SHA-256 of the API key in 64 hex digits, so that the file gives no
// key away: printf %s "$KEY" | sha256sum. "*" is everybody without a row of their own,
// with or without a key; without such a row others are refused. cohort is the label of
// the watermark key, account the name of a tracing key under a key with two channels
// (required there), mark one of always (also if empty), optional and never. The first two columns are
// required, the others may be absent; their order is free.
type Accounts struct {
	rows   map[[sha256.Size]byte]Account
	others *Account
}

// Anybody is for a gateway without a file: one account for all, always marked.
func Anybody() *Accounts { return &Accounts{others: &Account{Hash: "*", Mark: MarkAlways}} }

// ParseAccounts reads a file of accounts. Errors name the line.
func ParseAccounts(r io.Reader) (*Accounts, error) {
	in := csv.NewReader(io.LimitReader(r, maxAccountsFile+1))
	in.ReuseRecord = true
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("accounts: no header line %q: %w", "key_sha256,cohort,account,mark", err)
	}
	known := []string{"key_sha256", "cohort", "account", "mark"}
	column := map[string]int{}
	for i, name := range header {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("accounts: column %.40q is not known; there are %s", name, strings.Join(known, ", "))
		}
		if _, twice := column[name]; twice {
			return nil, fmt.Errorf("accounts: column %s stands there twice", name)
		}
		column[name] = i
	}
	for _, name := range known[:2] {
		if _, ok := column[name]; !ok {
			return nil, fmt.Errorf("accounts: column %s is missing", name)
		}
	}
	a := &Accounts{rows: map[[sha256.Size]byte]Account{}}
	for {
		record, err := in.Read()
		if err == io.EOF {
			break
		}
		line, _ := in.FieldPos(0)
		if err != nil {
			return nil, fmt.Errorf("accounts: %w", err)
		}
		if in.InputOffset() > maxAccountsFile || len(a.rows) == maxAccounts {
			return nil, fmt.Errorf("accounts: more than %d accounts or %d bytes", maxAccounts, maxAccountsFile)
		}
		field := func(name string) string {
			if i, ok := column[name]; ok {
				return strings.Clone(record[i])
			}
			return ""
		}
		if err := a.add(Account{field("key_sha256"), field("cohort"), field("account"), field("mark")}); err != nil {
			return nil, fmt.Errorf("accounts: line %d: %w", line, err)
		}
	}
	if len(a.rows) == 0 && a.others == nil {
		return nil, errors.New("accounts: no account")
	}
	return a, nil
}

func (a *Accounts) add(row Account) error {
	if row.Mark == "" {
		row.Mark = MarkAlways
	}
	if !slices.Contains([]string{MarkAlways, MarkOptional, MarkNever}, row.Mark) {
		return fmt.Errorf("mark %.40q is none of %s, %s, %s", row.Mark, MarkAlways, MarkOptional, MarkNever)
	}
	for _, name := range []string{row.Cohort, row.Name} {
		if len(name) > maxAccountField || !utf8.ValidString(name) {
			return fmt.Errorf("cohort or account is longer than %d bytes, or no UTF-8", maxAccountField)
		}
	}
	if row.Hash == "*" {
		if a.others != nil {
			return errors.New(`"*" stands there twice`)
		}
		a.others = &row
		return nil
	}
	hash, err := hex.DecodeString(row.Hash)
	if err != nil || len(hash) != sha256.Size {
		// What stands there may be a key in clear: it is not shown.
		return errors.New("key_sha256 is not 64 hex digits: it is the SHA-256 of the API key, never the key")
	}
	row.Hash = strings.ToLower(row.Hash)
	if _, twice := a.rows[[sha256.Size]byte(hash)]; twice {
		return fmt.Errorf("the key of SHA-256 %s… has a row already", row.Hash[:12])
	}
	a.rows[[sha256.Size]byte(hash)] = row
	return nil
}

// find is the account of an API key, nil if there is none.
func (a *Accounts) find(key string) *Account {
	if key != "" {
		if row, ok := a.rows[sha256.Sum256([]byte(key))]; ok {
			return &row
		}
	}
	return a.others
}

// All yields every account.
func (a *Accounts) All(yield func(Account) bool) {
	for _, row := range a.rows {
		if !yield(row) {
			return
		}
	}
	if a.others != nil {
		yield(*a.others)
	}
}

// AccountFile is the newest content of a file of accounts. It is safe for concurrent
// use.
type AccountFile struct{ newest atomic.Pointer[Accounts] }

// WatchAccounts loads a file and goes on to read it again when it has changed, about
// every interval, until ctx ends. A file that cannot be read leaves the last good one
// in force, and report is called with the reason, once for each change; with nil when
// it was read.
func WatchAccounts(ctx context.Context, path string, interval time.Duration, report func(error)) (*AccountFile, error) {
	load := func() (*Accounts, os.FileInfo, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, nil, fmt.Errorf("accounts: %w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return nil, nil, fmt.Errorf("accounts: %w", err)
		}
		a, err := ParseAccounts(f)
		return a, info, err
	}
	a, seen, err := load()
	if err != nil {
		return nil, err
	}
	file := &AccountFile{}
	file.newest.Store(a)
	go func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		missing := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			info, err := os.Stat(path)
			if err != nil {
				if !missing {
					report(fmt.Errorf("accounts: %w", err))
				}
				missing = true
				continue
			}
			if !missing && os.SameFile(info, seen) && info.Size() == seen.Size() && info.ModTime().Equal(seen.ModTime()) {
				continue
			}
			missing, seen = false, info
			a, read, err := load()
			if err == nil {
				file.newest.Store(a)
				seen = read
			}
			report(err)
		}
	}()
	return file, nil
}

// Accounts is the newest content.
func (f *AccountFile) Accounts() *Accounts { return f.newest.Load() }
