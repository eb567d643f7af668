// Command llamaserve serves GGUF models that llama.cpp runs, with or without a mark,
// until it is interrupted:
//
//	go run ./llamaserve -lib "$(../../.ci/install-llama)" -model nova=nova.gguf -model marked=nova.gguf -key marked=key.json
//
// Package serve says what it has of whose wire.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/integration/llama"
	"github.com/stillmark/stillmark/watermark/integration/serve"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "llamaserve:", err)
		os.Exit(1)
	}
}

// pairs are NAME=FILE arguments in their order.
type pairs [][2]string

func (p *pairs) String() string { return "" }

func (p *pairs) Set(s string) error {
	name, path, ok := strings.Cut(s, "=")
	if !ok || name == "" || path == "" {
		return errors.New("must be NAME=FILE")
	}
	*p = append(*p, [2]string{name, path})
	return nil
}

func run() error {
	var served, keys pairs
	lib := flag.String("lib", "", "folder of llama.cpp's libraries, as .ci/install-llama prints it")
	listen := flag.String("listen", "127.0.0.1:8080", "address")
	var o llama.Options
	flag.Var(&served, "model", "a model to serve, as NAME=FILE.gguf (repeatable)")
	flag.Var(&keys, "key", "the key under which a model's replies are marked, as NAME=FILE (repeatable)")
	flag.IntVar(&o.Sequences, "sequences", 8, "replies that a model generates side by side")
	flag.IntVar(&o.Context, "context", 0, "room of a reply with its prompt, in tokens (default: the model's)")
	flag.IntVar(&o.Threads, "threads", 1, "llama.cpp's threads")
	flag.Parse()
	if len(served) == 0 || *lib == "" {
		return errors.New("-lib and a -model are needed; see -help")
	}
	if err := llama.Init(*lib); err != nil {
		return err
	}
	var all []serve.Served
	for _, p := range served {
		m, err := llama.Open(p[1], o)
		if err != nil {
			return err
		}
		defer m.Close()
		all = append(all, serve.Served{Name: p[0], Model: m})
	}
	for _, p := range keys {
		if err := mark(all, p[0], p[1]); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: serve.New(all...), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	fmt.Fprintf(os.Stderr, "serving %d models at http://%s until interrupted\n", len(all), l.Addr())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

// mark gives the model of a name its key, which must be for its vocabulary.
func mark(all []serve.Served, name, path string) error {
	for i := range all {
		if all[i].Name != name {
			continue
		}
		key, err := watermark.LoadKey(path)
		if err != nil {
			return err
		}
		if key.Vocab != all[i].Model.Vocab() {
			return fmt.Errorf("key %s is for %d tokens, and the logits of %s are %d wide", key.ID, key.Vocab, name, all[i].Model.Vocab())
		}
		all[i].Mark, err = key.Mark()
		return err
	}
	return fmt.Errorf("-key names a model %q that is not served", name)
}
