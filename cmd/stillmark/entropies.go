package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/trial"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/replies"
)

// referenceEntropies, for --entropies, stands for the embedded model.
const referenceEntropies = "reference"

// entropySource gives texts the entropies of their tokens, in their order.
type entropySource struct {
	of     func(ids []int32) ([]float64, error) // the reference model's, or
	file   *os.File                             // those of a file
	reader *replies.Entropies
}

func openEntropies(name string, spec watermark.Spec) (*entropySource, error) {
	if name == referenceEntropies {
		of, err := trial.Entropies(spec, 1)
		return &entropySource{of: of}, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return &entropySource{file: f, reader: replies.NewEntropies(f, name)}, nil
}

// attach sets an item's entropies.
func (s *entropySource) attach(it *watermark.Item) error {
	if s.of != nil {
		var err error
		it.Entropies, err = s.of(it.Tokens)
		return err
	}
	id, values, err := s.reader.Next()
	switch {
	case err == io.EOF:
		return usageError(fmt.Errorf("%s has no line for the text %s: it takes one for each text, in their order", s.file.Name(), it.ID))
	case err != nil:
		return err
	case id != "" && id != it.ID:
		return usageError(fmt.Errorf("%s has a line for %q where the text %q comes: it takes one for each text, in their order", s.file.Name(), id, it.ID))
	case len(values) != len(it.Tokens):
		return usageError(fmt.Errorf("text %s has %d tokens and %s has %d entropies for it: another tokenizer, or another text", it.ID, len(it.Tokens), s.file.Name(), len(values)))
	}
	it.Entropies = values
	return nil
}

// close demands that no line is left.
func (s *entropySource) close() error {
	if s == nil || s.file == nil {
		return nil
	}
	defer s.file.Close()
	if _, _, err := s.reader.Next(); !errors.Is(err, io.EOF) {
		return errors.Join(err, usageError(fmt.Errorf("%s has more lines than there are texts: were they the ones meant?", s.file.Name())))
	}
	return nil
}
