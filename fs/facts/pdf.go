package facts

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds of a PDF.
const (
	maxPDFObject   = 256 << 10 // bytes of one that is no stream
	maxPDFInflated = 8 << 20   // of an index or of a stream of objects
	maxPDFIndexes  = 64        // a document that was saved so often without being cleaned up
	maxPDFObjects  = 200       // looked up for one document
)

// A pdfReader finds objects by the document's indexes. It reads the few that describe the whole; a
// document without a sound index is not repaired.
type pdfReader struct {
	x       *extraction
	indexes []pdfIndex
	trailer pdfDict
	lookups int
	packed  map[int][]byte // streams of objects, inflated
}

// A pdfIndex says where objects are: a table of lines of 20 bytes in the file, or a stream of
// numbers.
type pdfIndex struct {
	first, count int
	table        int64  // where the lines are
	rows         []byte // of a stream
	widths       [3]int
}

func (x *extraction) pdf() error {
	r := &pdfReader{x: x, packed: map[int][]byte{}}
	if err := r.open(); err != nil {
		return err
	}
	f := &x.facts
	_, secret := r.trailer["Encrypt"]
	tags := tagMap{}
	root, _ := r.get(r.trailer["Root"]).(pdfDict)
	pages, _ := r.get(root["Pages"]).(pdfDict)
	if n, ok := r.get(pages["Count"]).(float64); ok && n > 0 && n < 1<<24 {
		f.Pages = int(n)
	}
	if sizes := r.sizes(pages); len(sizes) > 0 {
		tags.add("PageSizes", sizes)
	}
	if v, ok := bytes.CutPrefix(x.head[:min(len(x.head), 16)], []byte("%PDF-")); ok && len(v) >= 3 {
		tags.add("PDFVersion", string(v[:3]))
	}
	x.doc.Tags = tags
	if secret { // texts are encrypted too
		tags.add("Encrypted", true)
		return nil
	}
	info, _ := r.get(r.trailer["Info"]).(pdfDict)
	for key, v := range info {
		if s, ok := r.get(v).(pdfString); ok && len(key) < 100 {
			text := s.text()
			if strings.HasSuffix(string(key), "Date") {
				text = pdfDate(text)
			}
			tags.add(string(key), text)
		}
	}
	setText(&f.Title, tags.text("Title"))
	setText(&f.Creator, tags.text("Author"))
	setText(&f.Description, tags.text("Subject"))
	setText(&f.Software, tags.text("Creator", "Producer"))
	f.Keywords = keywords(tags.text("Keywords"))
	if ref, ok := root["Metadata"].(pdfRef); ok {
		x.attempt("the XMP", func() error {
			p, err := r.stream(int(ref), maxXMP)
			if err != nil {
				return err
			}
			return x.xmp(p)
		})
	}
	if len(r.trailer) == 0 || f.Pages == 0 {
		return errDamaged
	}
	return nil
}

// pdfDate makes D:20200102030405+01'00' a time as everybody writes it; what it cannot read stays.
func pdfDate(s string) string {
	d := strings.TrimPrefix(s, "D:")
	if len(d) < 14 || strings.Trim(d[:14], "0123456789") != "" {
		return s
	}
	zone := strings.TrimRight(strings.ReplaceAll(d[14:], "'", ":"), ":")
	if strings.HasPrefix(zone, "Z") {
		zone = "Z"
	}
	return fmt.Sprintf("%s-%s-%sT%s:%s:%s%s", d[:4], d[4:6], d[6:8], d[8:10], d[10:12], d[12:14], zone)
}

// sizes are those of the first pages, in points; of pages that are all alike, one.
func (r *pdfReader) sizes(pages pdfDict) []string {
	var out []string
	var walk func(node pdfDict, box any, depth int)
	walk = func(node pdfDict, box any, depth int) {
		if b := r.get(node["MediaBox"]); b != nil {
			box = b
		}
		kids, ok := r.get(node["Kids"]).([]any)
		if !ok {
			if c, _ := box.([]any); len(c) == 4 && len(out) < 16 {
				var n [4]float64
				for i, v := range c {
					n[i], _ = r.get(v).(float64)
				}
				s := fmt.Sprintf(
					"%s x %s pt", strconv.FormatFloat(n[2]-n[0], 'g', 6, 64),
					strconv.FormatFloat(n[3]-n[1], 'g', 6, 64),
				)
				if len(out) == 0 || out[len(out)-1] != s {
					out = append(out, s)
				}
			}
			return
		}
		for _, k := range kids[:min(len(kids), 16)] {
			if kid, ok := r.get(k).(pdfDict); ok && depth < 8 {
				walk(kid, box, depth+1)
			}
		}
	}
	walk(pages, nil, 0)
	return out
}

// open reads the indexes, the newest first.
func (r *pdfReader) open() error {
	tail, err := r.x.w.upTo(max(0, r.x.w.size-2048), 2048)
	if err != nil {
		return err
	}
	i := bytes.LastIndex(tail, []byte("startxref"))
	if i < 0 {
		return errors.New("no index")
	}
	l := &pdfLexer{b: tail[i+len("startxref"):]}
	at, ok := l.value().(float64)
	seen := map[int64]bool{}
	for range maxPDFIndexes {
		off := int64(at)
		if !ok || at < 0 || off >= r.x.w.size || seen[off] {
			break
		}
		seen[off] = true
		trailer, err := r.index(off)
		if err != nil {
			return err
		}
		if r.trailer == nil {
			r.trailer = trailer
		}
		if extra, has := trailer["XRefStm"].(float64); has && extra > 0 &&
			!seen[int64(extra)] { // for readers that know streams
			seen[int64(extra)] = true
			if _, err := r.index(int64(extra)); err != nil {
				return err
			}
		}
		at, ok = trailer["Prev"].(float64)
	}
	if r.trailer == nil {
		return errors.New("no index")
	}
	return nil
}

func (r *pdfReader) index(off int64) (pdfDict, error) {
	b, err := r.x.w.upTo(off, 1024)
	if err != nil {
		return nil, err
	}
	l := &pdfLexer{b: b}
	if w, ok := l.value().(pdfWord); ok && w == "xref" {
		return r.table(off + int64(l.at))
	}
	return r.indexStream(off)
}

// table notes the sections of a table; their lines are read when an object is looked up.
func (r *pdfReader) table(at int64) (pdfDict, error) {
	for range 10_000 {
		b, err := r.x.w.upTo(at, 64)
		if err != nil {
			return nil, err
		}
		l := &pdfLexer{b: b}
		first, ok := l.value().(float64)
		if !ok {
			if !bytes.HasPrefix(bytes.TrimLeft(b, "\r\n\t "), []byte("trailer")) {
				return nil, errDamaged
			}
			p, err := r.x.w.upTo(at, maxPDFObject)
			if err != nil {
				return nil, err
			}
			l = &pdfLexer{b: p}
			l.value()
			d, ok := l.value().(pdfDict)
			if !ok {
				return nil, errDamaged
			}
			return d, nil
		}
		count, ok := l.value().(float64)
		if !ok || first < 0 || first > 1<<30 || count < 0 || count > 1<<30 {
			return nil, errDamaged
		}
		l.blank()
		at += int64(l.at)
		if len(r.indexes) < 10_000 {
			r.indexes = append(r.indexes, pdfIndex{first: int(first), count: int(count), table: at})
		}
		at += 20 * int64(count)
	}
	return nil, errDamaged
}

// indexStream reads an index that is a stream.
func (r *pdfReader) indexStream(off int64) (pdfDict, error) {
	d, p, err := r.streamAt(off, maxPDFInflated)
	if err != nil {
		return nil, err
	}
	w, _ := d["W"].([]any)
	if len(w) < 3 {
		return nil, errDamaged
	}
	var widths [3]int
	row := 0
	for i := range widths {
		n, _ := w[i].(float64)
		if n < 0 || n > 8 {
			return nil, errDamaged
		}
		widths[i] = int(n)
		row += int(n)
	}
	size, _ := d["Size"].(float64)
	parts, ok := d["Index"].([]any)
	if !ok {
		parts = []any{0.0, size}
	}
	for i := 0; i+1 < len(parts) && row > 0 && len(r.indexes) < 10_000; i += 2 {
		first, _ := parts[i].(float64)
		count, _ := parts[i+1].(float64)
		if first < 0 || count < 0 || first > 1<<30 || count > 1<<30 {
			return nil, errDamaged
		}
		n := min(int(count), len(p)/row)
		r.indexes = append(r.indexes, pdfIndex{first: int(first), count: n, rows: p[:n*row], widths: widths})
		p = p[n*row:]
	}
	return d, nil
}

// find says where an object is: at a place, or in a stream of objects.
func (r *pdfReader) find(n int) (off int64, within, index int, ok bool) {
	for _, s := range r.indexes {
		i := n - s.first
		if i < 0 || i >= s.count {
			continue
		}
		if s.rows == nil {
			b, err := r.x.w.bytes(s.table+20*int64(i), 18)
			if err != nil || b[17] != 'n' {
				continue
			}
			off, err := strconv.ParseInt(string(b[:10]), 10, 64)
			return off, 0, 0, err == nil
		}
		row := s.rows[i*(s.widths[0]+s.widths[1]+s.widths[2]):]
		var v [3]uint64
		for k, w := range s.widths {
			for _, c := range row[:w] {
				v[k] = v[k]<<8 | uint64(c)
			}
			row = row[w:]
		}
		if s.widths[0] == 0 {
			v[0] = 1
		}
		switch {
		case v[0] == 1:
			return int64(min(v[1], 1<<62)), 0, 0, true
		case v[0] == 2:
			return 0, int(min(v[1], 1<<31)), int(min(v[2], 1<<31)), true
		}
	}
	return 0, 0, 0, false
}

// get resolves a reference; what is none stays as it is.
func (r *pdfReader) get(v any) any {
	for range 8 {
		ref, ok := v.(pdfRef)
		if !ok {
			return v
		}
		v = r.object(int(ref))
	}
	return nil
}

func (r *pdfReader) object(n int) any {
	if r.lookups++; r.lookups > maxPDFObjects {
		return nil
	}
	off, within, index, ok := r.find(n)
	if !ok {
		return nil
	}
	if within == 0 {
		v, _, err := r.objectAt(off)
		if err != nil {
			return nil
		}
		return v
	}
	p, ok := r.packed[within]
	var d pdfDict
	if !ok {
		at, again, _, found := r.find(within)
		if !found || again != 0 { // a stream of objects is in none
			return nil
		}
		var err error
		if d, p, err = r.streamAt(at, maxPDFInflated); err != nil {
			return nil
		}
		first, _ := d["First"].(float64)
		if first < 0 || int(first) > len(p) {
			return nil
		}
		p = append([]byte(strconv.Itoa(int(first))+" "), p...)
		r.packed[within] = p
	}
	l := &pdfLexer{b: p}
	first, _ := l.value().(float64)
	shift := l.at + 1
	for i := 0; i <= index && i < 100_000; i++ {
		num, ok1 := l.value().(float64)
		at, ok2 := l.value().(float64)
		if !ok1 || !ok2 {
			return nil
		}
		if int(num) == n {
			from := shift + int(first) + int(at)
			if from < 0 || from > len(p) {
				return nil
			}
			return (&pdfLexer{b: p[from:]}).value()
		}
	}
	return nil
}

// objectAt reads the object at a place, and returns a lexer behind it. Few are longer than a page
// of memory.
func (r *pdfReader) objectAt(off int64) (v any, l *pdfLexer, err error) {
	for _, n := range []int64{4 << 10, maxPDFObject} {
		b, err := r.x.w.upTo(off, n)
		if err != nil {
			return nil, nil, err
		}
		l = &pdfLexer{b: b}
		l.value()
		l.value()
		if w, _ := l.value().(pdfWord); w != "obj" {
			return nil, nil, errDamaged
		}
		v = l.value()
		if l.blank(); l.at+16 < len(b) {
			break
		}
	}
	return v, l, nil
}

func (r *pdfReader) stream(n int, limit int) ([]byte, error) {
	off, within, _, ok := r.find(n)
	if !ok || within != 0 {
		return nil, errDamaged
	}
	_, p, err := r.streamAt(off, limit)
	return p, err
}

// streamAt reads the stream at a place, inflated, at most limit bytes of it.
func (r *pdfReader) streamAt(off int64, limit int) (pdfDict, []byte, error) {
	v, l, err := r.objectAt(off)
	if err != nil {
		return nil, nil, err
	}
	d, _ := v.(pdfDict)
	if w, _ := l.value().(pdfWord); w != "stream" || d == nil {
		return nil, nil, errDamaged
	}
	if l.at < len(l.b) && l.b[l.at] == '\r' {
		l.at++
	}
	if l.at < len(l.b) && l.b[l.at] == '\n' {
		l.at++
	}
	n, ok := r.get(d["Length"]).(float64)
	if !ok || n < 0 || n > float64(limit) {
		return nil, nil, errDamaged
	}
	p, err := r.x.w.upTo(off+int64(l.at), int64(n))
	if err != nil {
		return nil, nil, err
	}
	filter := d["Filter"]
	if list, ok := filter.([]any); ok && len(list) == 1 {
		filter = list[0]
	}
	switch filter {
	case nil:
		return d, p, nil
	case pdfName("FlateDecode"):
	default:
		return nil, nil, errors.New("packed in a way that is not known")
	}
	z, err := zlib.NewReader(bytes.NewReader(p))
	if err != nil {
		return nil, nil, err
	}
	out, err := io.ReadAll(io.LimitReader(z, int64(limit)))
	if err != nil && len(out) == 0 {
		return nil, nil, err
	}
	parms := d["DecodeParms"]
	if list, ok := parms.([]any); ok && len(list) == 1 {
		parms = list[0]
	}
	if parms, ok := parms.(pdfDict); ok {
		if predictor, _ := parms["Predictor"].(float64); predictor >= 10 {
			columns, _ := parms["Columns"].(float64)
			out, err = unpredict(out, int(max(1, min(columns, 1<<16))))
			if err != nil {
				return nil, nil, err
			}
		}
	}
	return d, out, nil
}

// unpredict undoes PNG's filters of rows, as indexes have them: bytes of one component.
func unpredict(b []byte, columns int) ([]byte, error) {
	out := make([]byte, 0, len(b))
	above := make([]byte, columns)
	for len(b) >= columns+1 {
		filter, row := b[0], bytes.Clone(b[1:columns+1])
		b = b[columns+1:]
		for i := range row {
			var left, corner byte
			if i > 0 {
				left, corner = row[i-1], above[i-1]
			}
			switch filter {
			case 0:
			case 1:
				row[i] += left
			case 2:
				row[i] += above[i]
			case 3:
				row[i] += byte((int(left) + int(above[i])) / 2)
			case 4:
				row[i] += paeth(left, above[i], corner)
			default:
				return nil, errDamaged
			}
		}
		out = append(out, row...)
		above = row
	}
	return out, nil
}

func paeth(a, b, c byte) byte {
	p := int(a) + int(b) - int(c)
	da, db, dc := abs(p-int(a)), abs(p-int(b)), abs(p-int(c))
	switch {
	case da <= db && da <= dc:
		return a
	case db <= dc:
		return b
	}
	return c
}

func abs(n int) int { return max(n, -n) }
