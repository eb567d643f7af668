package reports

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// The paper: A4 in millimetres, with a line of text of 170 mm, which at 9 points
// holds some 110 characters.
const (
	paperW, paperH = 210.0, 297.0
	marginX        = 20.0
	marginTop      = 20.0
	marginBottom   = 18.0
	lineW          = paperW - 2*marginX
	bottomY        = paperH - marginBottom
)

// ink is a colour of the light style sheet; a page is always light.
type ink [3]int

var (
	black   = ink{0x16, 0x19, 0x1d}
	soft    = ink{0x53, 0x5c, 0x68}
	hair    = ink{0xd8, 0xdd, 0xe3}
	panel   = ink{0xf6, 0xf7, 0xf9}
	rivalC  = ink{0x37, 0x42, 0xb8}
	control = ink{0x77, 0x81, 0x8e}
	seenC   = ink{0xb4, 0x26, 0x1a}
	warnC   = ink{0x7a, 0x4b, 0x00}
	warnBG  = ink{0xff, 0xf4, 0xdc}
	warnEdg = ink{0xe5, 0xc2, 0x7a}
	white   = ink{255, 255, 255}
)

// face is a style of the embedded fonts: Go's own (Bigelow & Holmes), which have
// the Latin, Greek and Cyrillic letters.
type face string

const (
	regular face = ""
	bold    face = "B"
	italic  face = "I"
	mono    face = "M"
)

var faceData = map[face][]byte{regular: goregular.TTF, bold: gobold.TTF, italic: goitalic.TTF, mono: gomono.TTF}

// glyphs says which characters a face has.
var glyphs = sync.OnceValues(func() (map[face]*sfnt.Font, error) {
	out := map[face]*sfnt.Font{}
	for f, data := range faceData {
		font, err := sfnt.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("embedded font %q: %w", string(f), err)
		}
		out[f] = font
	}
	return out, nil
})

// sheet is a PDF under construction: text flows from page to page.
type sheet struct {
	pdf     *fpdf.Fpdf
	fonts   map[face]*sfnt.Font
	buf     sfnt.Buffer
	has     map[face]map[rune]bool
	missing map[rune]int // characters that no embedded face has, with how often they were met

	face   face
	size   float64                   // points
	widths map[face]map[rune]float64 // of characters at 1 point, in millimetres
}

// newSheet opens a document whose bytes depend on nothing but what is written.
func newSheet(title, lang string, made time.Time) (*sheet, error) {
	fonts, err := glyphs()
	if err != nil {
		return nil, err
	}
	pdf := fpdf.New("P", "mm", "A4", "")
	pdf.SetCatalogSort(true)
	pdf.SetCreationDate(made)
	pdf.SetModificationDate(made)
	pdf.SetProducer("stillmark", true)
	pdf.SetTitle(title, true)
	pdf.SetLang(lang)
	pdf.SetMargins(marginX, marginTop, marginX)
	pdf.SetAutoPageBreak(false, marginBottom)
	pdf.SetCellMargin(0)
	for _, f := range []face{regular, bold, italic, mono} {
		family, style := fpdfFont(f)
		// The library keeps the slice and writes into it.
		pdf.AddUTF8FontFromBytes(family, style, bytes.Clone(faceData[f]))
	}
	s := &sheet{
		pdf: pdf, fonts: fonts, missing: map[rune]int{},
		has: map[face]map[rune]bool{}, widths: map[face]map[rune]float64{},
	}
	for f := range faceData {
		s.has[f], s.widths[f] = map[rune]bool{}, map[rune]float64{}
	}
	pdf.AliasNbPages("{pages}")
	return s, pdf.Error()
}

func fpdfFont(f face) (family, style string) {
	if f == mono {
		return "gomono", ""
	}
	return "go", string(f)
}

func (s *sheet) font(f face, size float64) {
	s.face, s.size = f, size
	family, style := fpdfFont(f)
	s.pdf.SetFont(family, style, size)
}

func (s *sheet) color(c ink) { s.pdf.SetTextColor(c[0], c[1], c[2]) }
func (s *sheet) fill(c ink)  { s.pdf.SetFillColor(c[0], c[1], c[2]) }
func (s *sheet) stroke(c ink, width float64) {
	s.pdf.SetDrawColor(c[0], c[1], c[2])
	s.pdf.SetLineWidth(width)
}

// covers reports whether a face has a glyph for a character.
func (s *sheet) covers(f face, r rune) bool {
	if r > 0xffff {
		return false // the library writes two-byte codes
	}
	known, ok := s.has[f][r]
	if !ok {
		i, err := s.fonts[f].GlyphIndex(&s.buf, r)
		known = err == nil && i != 0
		s.has[f][r] = known
	}
	return known
}

// spell makes a text printable in a face: a character that the face lacks is
// written as its code point and counted, never left out.
func (s *sheet) spell(f face, text string) string {
	plain := true
	for _, r := range text {
		if r != ' ' && !s.covers(f, r) {
			plain = false
			break
		}
	}
	if plain {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == ' ' || s.covers(f, r):
			b.WriteRune(r)
		case r == '\t':
			b.WriteByte(' ')
		case r == '\u00ad' || r == '\u200b': // break opportunities
		case r == '\u2009' || r == '\u202f' || r == '\u2007':
			b.WriteRune('\u00a0')
		default:
			s.missing[r]++
			fmt.Fprintf(&b, "U+%04X ", r)
		}
	}
	return b.String()
}

// width of a text in the current font, in millimetres. Widths of characters are
// kept: the library sums them from a table, without kerning.
func (s *sheet) width(text string) float64 {
	w := 0.0
	known := s.widths[s.face]
	for _, r := range text {
		cw, ok := known[r]
		if !ok {
			cw = s.pdf.GetStringWidth(string(r)) / s.size
			known[r] = cw
		}
		w += cw
	}
	return w * s.size
}

// lines breaks a text at blanks so that each line is at most w wide; a word that
// is wider is cut. Line breaks in the text are kept.
func (s *sheet) lines(text string, w float64) []string {
	var out []string
	for _, par := range strings.Split(strings.TrimRight(s.spell(s.face, text), "\n "), "\n") {
		line := ""
		for _, word := range strings.FieldsFunc(par, func(r rune) bool { return r == ' ' }) {
			next := word
			if line != "" {
				next = line + " " + word
			}
			if s.width(next) <= w {
				line = next
				continue
			}
			if line != "" {
				out = append(out, line)
			}
			for s.width(word) > w {
				cut := s.fits(word, w)
				out = append(out, word[:cut])
				word = word[cut:]
			}
			line = word
		}
		out = append(out, line)
	}
	return out
}

// fits returns how many bytes of a word fit into w: whole characters, one at least,
// preferably up to a character after which an identifier may be broken.
func (s *sheet) fits(word string, w float64) int {
	at, good := 0, 0
	for i, r := range word {
		end := i + utf8.RuneLen(r)
		if s.width(word[:end]) > w {
			break
		}
		at = end
		if strings.ContainsRune("/._-:", r) {
			good = end
		}
	}
	if good > at/2 {
		return good
	}
	_, first := utf8.DecodeRuneInString(word)
	return max(at, first)
}

// page begins a new page.
func (s *sheet) page() {
	f, size := s.face, s.size
	s.pdf.AddPage()
	s.pdf.SetXY(marginX, marginTop)
	if size > 0 {
		s.font(f, size)
	}
}

// room begins a new page unless h millimetres are left on this one.
func (s *sheet) room(h float64) {
	if s.pdf.GetY()+h > bottomY {
		s.page()
	}
}

func (s *sheet) gap(h float64) {
	if y := s.pdf.GetY(); y > marginTop {
		s.pdf.SetY(y + h)
	}
}

// leading is the height of a line at a size in points.
func leading(size float64) float64 { return size * 0.3528 * 1.38 }

// para writes a paragraph between x and x+w.
func (s *sheet) para(f face, size float64, c ink, x, w float64, text string) {
	s.font(f, size)
	h := leading(size)
	lines := s.lines(text, w)
	for i, line := range lines {
		// No single line of a paragraph of some length at the foot of a page.
		if i == 0 && len(lines) > 2 {
			s.room(2 * h)
		}
		s.room(h)
		s.font(f, size)
		s.color(c)
		y := s.pdf.GetY()
		s.pdf.SetXY(x, y)
		s.pdf.CellFormat(w, h, line, "", 0, "L", false, 0, "")
		s.pdf.SetXY(marginX, y+h)
	}
}

func (s *sheet) text(text string)  { s.para(regular, 9, black, marginX, lineW, text); s.gap(1.4) }
func (s *sheet) small(text string) { s.para(regular, 7.8, soft, marginX, lineW, text); s.gap(1.2) }

// heading of a section: numbered, with a bookmark.
func (s *sheet) heading(number int, title string) {
	s.gap(7)
	s.room(54)
	y := s.pdf.GetY()
	s.stroke(black, .5)
	s.pdf.Line(marginX, y, marginX+lineW, y)
	s.pdf.SetXY(marginX, y+2)
	s.pdf.Bookmark(s.spell(bold, fmt.Sprintf("%d  %s", number, title)), 0, -1)
	s.para(bold, 13, black, marginX, lineW, fmt.Sprintf("%d  %s", number, title))
	s.gap(1.5)
}

func (s *sheet) subheading(title string) {
	s.gap(2.5)
	s.room(44) // with a caption and the first rows of a table
	s.para(bold, 9.8, black, marginX, lineW, title)
	s.gap(.8)
}

// list writes items with bullets.
func (s *sheet) list(items []string) {
	for _, it := range items {
		s.font(regular, 9)
		s.room(leading(9))
		y, page := s.pdf.GetY(), s.pdf.PageNo()
		s.font(regular, 9)
		s.color(soft)
		s.pdf.SetXY(marginX, y)
		s.pdf.CellFormat(4, leading(9), "•", "", 0, "L", false, 0, "")
		if s.pdf.PageNo() == page {
			s.pdf.SetXY(marginX, y)
		}
		s.para(regular, 9, black, marginX+4, lineW-4, it)
		s.gap(.6)
	}
	s.gap(.8)
}

// facts writes names and values beside each other.
func (s *sheet) facts(rows [][2]string) {
	const name = 46.0
	for _, r := range rows {
		if r[1] == "" {
			continue
		}
		s.font(regular, 8.6)
		h := leading(8.6)
		left := s.lines(r[0], name-4)
		right := s.lines(r[1], lineW-name)
		for i := range max(len(left), len(right)) {
			s.room(h)
			y := s.pdf.GetY()
			s.font(regular, 8.6)
			if i < len(left) {
				s.color(soft)
				s.pdf.SetXY(marginX, y)
				s.pdf.CellFormat(name, h, left[i], "", 0, "L", false, 0, "")
			}
			if i < len(right) {
				s.color(black)
				s.pdf.SetXY(marginX+name, y)
				s.pdf.CellFormat(lineW-name, h, right[i], "", 0, "L", false, 0, "")
			}
			s.pdf.SetXY(marginX, y+h)
		}
		s.gap(.5)
	}
	s.gap(1)
}

// code writes a command as it is to be typed.
func (s *sheet) code(text string) {
	s.font(mono, 7.6)
	h := leading(7.6)
	lines := s.lines(text, lineW-6)
	for i, line := range lines {
		pad := 0.0
		if i == 0 || i == len(lines)-1 {
			pad = 1
		}
		s.room(h + pad)
		y := s.pdf.GetY()
		s.fill(panel)
		s.pdf.Rect(marginX, y, lineW, h+pad, "F")
		top := y
		if i == 0 {
			top += pad
		}
		s.font(mono, 7.6)
		s.color(black)
		s.pdf.SetXY(marginX+3, top)
		s.pdf.CellFormat(lineW-6, h, line, "", 0, "L", false, 0, "")
		s.pdf.SetXY(marginX, y+h+pad)
	}
	s.gap(1.6)
}

// column of a table: its title, its share of the width, and whether it holds
// numbers.
type column struct {
	title string
	share float64
	right bool
}

// field of a table.
type field struct {
	text   string
	strong bool // of a target under audit
}

func fields(texts ...string) []field {
	out := make([]field, len(texts))
	for i, t := range texts {
		out[i] = field{text: t}
	}
	return out
}

const tableSize = 7.4

// table writes rows under a head that is repeated on every page. A row of one cell
// is a line across, over the rows that follow.
func (s *sheet) table(cols []column, rows [][]field) {
	total := 0.0
	for _, c := range cols {
		total += c.share
	}
	widths := make([]float64, len(cols))
	for i, c := range cols {
		widths[i] = lineW * c.share / total
	}
	const padX = 1.2
	h := leading(tableSize)
	row := func(cs []field, f face, c ink, head bool) float64 {
		s.font(f, tableSize)
		high := 1
		broken := make([][]string, len(cs))
		for i := range cs {
			w := lineW
			if len(cs) > 1 {
				w = widths[i]
			}
			broken[i] = s.lines(cs[i].text, w-2*padX)
			high = max(high, len(broken[i]))
		}
		need := float64(high)*h + 1.6
		if !head {
			s.room(min(need, bottomY-marginTop-20))
		}
		x, y := marginX, s.pdf.GetY()
		for i := range cs {
			w := lineW
			if len(cs) > 1 {
				w = widths[i]
			}
			align := "L"
			if len(cs) > 1 && cols[i].right {
				align = "R"
			}
			for j, line := range broken[i] {
				at := y + .8 + float64(j)*h
				if at+h > paperH-8 {
					break // a field longer than a page is cut: report.json has it whole
				}
				if cs[i].strong {
					s.font(bold, tableSize)
					s.color(rivalC)
				} else {
					s.font(f, tableSize)
					s.color(c)
				}
				s.pdf.SetXY(x+padX, at)
				s.pdf.CellFormat(w-2*padX, h, line, "", 0, align, false, 0, "")
			}
			x += w
		}
		s.pdf.SetXY(marginX, y+need)
		return need
	}
	head := make([]field, len(cols))
	for i, c := range cols {
		head[i] = field{text: c.title}
	}
	drawHead := func() {
		row(head, bold, soft, true)
		y := s.pdf.GetY()
		s.stroke(black, .3)
		s.pdf.Line(marginX, y, marginX+lineW, y)
	}
	s.room(28)
	drawHead()
	page := s.pdf.PageNo()
	for _, r := range rows {
		s.font(regular, tableSize)
		if s.pdf.GetY()+leading(tableSize)*2.2 > bottomY {
			s.page()
		}
		if s.pdf.PageNo() != page {
			drawHead()
			page = s.pdf.PageNo()
		}
		f, c := regular, black
		if len(r) == 1 {
			f, c = bold, soft
			s.room(20)
			if s.pdf.PageNo() != page {
				drawHead()
				page = s.pdf.PageNo()
			}
		}
		row(r, f, c, false)
		if s.pdf.PageNo() != page { // the row itself went over
			page = s.pdf.PageNo()
		}
		y := s.pdf.GetY()
		s.stroke(hair, .15)
		s.pdf.Line(marginX, y, marginX+lineW, y)
	}
	s.gap(3)
}

// inert keeps control characters out of metadata.
func printableTitle(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// bytes closes the document.
func (s *sheet) bytes() ([]byte, error) {
	var b bytes.Buffer
	if err := s.pdf.Output(&b); err != nil {
		return nil, fmt.Errorf("write the PDF: %w", err)
	}
	return b.Bytes(), nil
}
