package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/keyfile"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
)

// passphraseVariable opens and protects key files where nobody can be asked. It
// is no flag's: a command line is seen by everyone on the machine.
const passphraseVariable = "STILLMARK_PASSPHRASE"

// passphraseHelp is what the commands that read signing keys say of it.
const passphraseHelp = `A key file under a passphrase (stillmark signer new --passphrase) is opened with the
one in the environment variable ` + passphraseVariable + `, or else you are asked at the terminal.`

// passphrase takes the passphrase of a key file from the environment, or asks for
// it at the terminal, without echo; twice where the file is about to be written.
// No error holds any of it.
func (a *app) passphrase(ctx context.Context, path string, twice bool) (string, error) {
	if p := os.Getenv(passphraseVariable); p != "" {
		return p, nil
	}
	in, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", fmt.Errorf("%s needs a passphrase, and there is no terminal to ask at: set %s", path, passphraseVariable)
	}
	p, err := a.askSecretly(ctx, in, "passphrase of "+printable(path)+": ")
	if err != nil {
		return "", err
	}
	if p == "" {
		return "", keyfile.ErrEmpty
	}
	if twice {
		again, err := a.askSecretly(ctx, in, "the same once more: ")
		if err != nil {
			return "", err
		}
		if again != p {
			return "", errors.New("the two passphrases differ; nothing was written")
		}
	}
	return p, nil
}

// askSecretly reads one line of a terminal without echo. An interrupt ends it with the
// terminal as it was.
func (a *app) askSecretly(ctx context.Context, in *os.File, prompt string) (string, error) {
	before, err := term.GetState(int(in.Fd()))
	if err != nil {
		return "", fmt.Errorf("asking for the passphrase: %w", err)
	}
	fmt.Fprint(a.err, prompt)
	type answer struct {
		line []byte
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(int(in.Fd()))
		answered <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		term.Restore(int(in.Fd()), before)
		fmt.Fprintln(a.err)
		return "", ctx.Err()
	case got := <-answered:
		fmt.Fprintln(a.err)
		if got.err != nil {
			return "", fmt.Errorf("asking for the passphrase: %w", got.err)
		}
		return string(got.line), nil
	}
}

// protection is what the commands that write a key file do to it: nil unless the
// user wants a passphrase, which is asked for before anything is drawn.
func (a *app) protection(ctx context.Context, wanted bool, path string) (func([]byte) ([]byte, error), error) {
	if !wanted {
		return nil, nil
	}
	p, err := a.passphrase(ctx, path, true)
	if err != nil {
		return nil, keyFileError(err)
	}
	return func(file []byte) ([]byte, error) { return keyfile.Encrypt(file, p) }, nil
}

// readKeyFile reads a private key file and opens it if it is under a passphrase.
// A file that others may read is refused.
func (a *app) readKeyFile(ctx context.Context, path string) ([]byte, error) {
	data, err := ledger.ReadSecretFile(path)
	if err != nil || !keyfile.Encrypted(data) {
		return data, err
	}
	p, err := a.passphrase(ctx, path, false)
	if err != nil {
		return nil, err
	}
	plain, err := keyfile.Decrypt(data, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return plain, nil
}

// loadSigner reads a signing key.
func (a *app) loadSigner(ctx context.Context, path string) (*ledger.Signer, error) {
	data, err := a.readKeyFile(ctx, path)
	if err != nil {
		return nil, keyFileError(fmt.Errorf("loading the signer: %w", err))
	}
	s, err := ledger.ParseSigner(data)
	if err != nil {
		return nil, usageError(fmt.Errorf("loading the signer: %s: %w", path, err))
	}
	return s, nil
}

// loadDocumentSigner reads a document key.
func (a *app) loadDocumentSigner(ctx context.Context, path string) (*reports.DocumentSigner, error) {
	data, err := a.readKeyFile(ctx, path)
	if err != nil {
		return nil, keyFileError(fmt.Errorf("loading the document key: %w", err))
	}
	d, err := reports.ParseDocumentSigner(data)
	if err != nil {
		return nil, usageError(fmt.Errorf("loading the document key: %s: %w", path, err))
	}
	return d, nil
}

// keyFileError is a usage error, but for an interrupt.
func keyFileError(err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	return usageError(err)
}
