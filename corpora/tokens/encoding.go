package tokens

// Encoding is one tokenizer: byte-level BPE over a rank table and a split pattern.
type Encoding struct{ name string }

// Get returns a built-in encoding by name.
func Get(name string) (*Encoding, error) { return &Encoding{name: name}, nil }

// LoadTiktoken reads a .tiktoken rank file that is used with the given split pattern.
func LoadTiktoken(path, pattern string) (*Encoding, error) { return &Encoding{name: path + pattern}, nil }

// Name returns the encoding's name.
func (e *Encoding) Name() string { return e.name }

// VocabSize returns the logit width.
func (e *Encoding) VocabSize() int { return 0 }

// SHA256 returns the hash of ranks and pattern.
func (e *Encoding) SHA256() string { return "" }

// Encode returns the ids of text.
func (e *Encoding) Encode(text string) ([]int32, error) { return nil, nil }

// Decode returns the bytes of ids.
func (e *Encoding) Decode(ids []int32) []byte { return nil }

// Token returns the bytes of one id and whether the id exists.
func (e *Encoding) Token(id int32) ([]byte, bool) { return nil, false }

// Special returns the id of a special token such as <|endoftext|>.
func (e *Encoding) Special(text string) (int32, bool) { return 0, false }
