package replies

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/stillmark/stillmark/watermark"
)

// block is some whole lines of an input.
type block struct {
	data []byte
	line int // number of the first line
}

// blockBytes is what a goroutine takes at a time, unless a line is longer.
const blockBytes = 1 << 18

// ReadParallel reads as [Read] does, on as many goroutines as yields: each is called
// from one of them only, and items come in no order. An item's tokens are valid until
// yield returns. progress, if set, is called with the bytes read so far.
//
// It holds four blocks for each goroutine: 1 MiB, or the longest lines.
func ReadParallel(ctx context.Context, r io.Reader, name string, opt Options, progress func(read int64), yields []func(watermark.Item) error) error {
	br := bufio.NewReaderSize(r, 1<<16)
	if opt.Format == "text" || !opt.IDs && opt.Format == "" && !looksLikeJSONLines(br) {
		return Read(br, name, opt, yields[0])
	}
	if opt.Format != "" && opt.Format != "jsonl" {
		return Read(br, name, opt, yields[0]) // which says what is wrong
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	blocks := make(chan block, len(yields))
	free := make(chan []byte, 4*len(yields))
	for range cap(free) {
		free <- nil
	}
	var (
		workers sync.WaitGroup
		mu      sync.Mutex
		items   int
	)
	for _, yield := range yields {
		workers.Go(func() {
			var d decoder
			for b := range blocks {
				n, err := d.lines(b, name, opt, yield)
				mu.Lock()
				items += n
				mu.Unlock()
				free <- b.data
				if err != nil {
					cancel(err)
				}
				if ctx.Err() != nil {
					return
				}
			}
		})
	}
	err := cut(ctx, br, name, progress, free, blocks)
	close(blocks)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err == nil && items == 0 {
		return &Error{name, 0, errors.New("the file is empty, there is nothing to score")}
	}
	return err
}

// cut cuts an input into blocks.
func cut(ctx context.Context, br *bufio.Reader, name string, progress func(read int64), free <-chan []byte, blocks chan<- block) error {
	line, read := 1, int64(0)
	var rest []byte // the beginning of a line
	for {
		var data []byte
		select {
		case data = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		data = append(data[:0], rest...)
		data, err := fill(br, data)
		if err != nil && !errors.Is(err, io.EOF) {
			return &Error{name, line, fmt.Errorf("reading: %w", err)}
		}
		atEnd := err != nil
		end := len(data)
		if !atEnd {
			end = bytes.LastIndexByte(data, '\n') + 1
			if end == 0 {
				return &Error{name, line, fmt.Errorf("the line is longer than %d MiB", MaxItem>>20)}
			}
		}
		rest = append(rest[:0], data[end:]...)
		read += int64(end)
		b := block{data[:end], line}
		line += bytes.Count(b.data, []byte("\n"))
		select {
		case blocks <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
		if progress != nil {
			progress(read)
		}
		if atEnd {
			return nil
		}
	}
}

// fill reads a block into data, and goes on to the end of its line.
func fill(br *bufio.Reader, data []byte) ([]byte, error) {
	for size := blockBytes; ; size *= 2 {
		if cap(data) < size {
			data = append(make([]byte, 0, size), data...)
		}
		for len(data) < size {
			n, err := br.Read(data[len(data):size])
			if data = data[:len(data)+n]; err != nil {
				return data, err
			}
		}
		if size > MaxItem || bytes.IndexByte(data, '\n') >= 0 {
			return data, nil
		}
	}
}

// decoder decodes lines and keeps memory between them.
type decoder struct{ ids idsReader }

func (d *decoder) decode(raw []byte, opt Options) (watermark.Item, error) {
	if d.ids.names(opt) && d.ids.read(raw) {
		return d.ids.item, nil
	}
	return decode(raw, opt)
}

// lines yields the items of a block and says how many there were.
func (d *decoder) lines(b block, name string, opt Options, yield func(watermark.Item) error) (items int, err error) {
	for number := b.line; len(b.data) > 0; number++ {
		raw, rest, _ := bytes.Cut(b.data, []byte("\n"))
		b.data = rest
		if number == 1 {
			raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
		}
		if len(raw) > MaxItem {
			return items, &Error{name, number, fmt.Errorf("the line is longer than %d MiB", MaxItem>>20)}
		}
		if len(bytes.TrimSpace(raw)) == 0 {
			continue
		}
		item, err := d.decode(raw, opt)
		if err != nil {
			return items, &Error{name, number, err}
		}
		if item.ID == "" {
			item.ID = fmt.Sprintf("%s:%d", name, number)
		}
		if err := yield(item); err != nil {
			return items, err
		}
		items++
	}
	return items, nil
}
