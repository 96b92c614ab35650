package bucket

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/google/uuid"

	"mediafs/remote"
)

// format is what format.json says: that a library is here, which, and in what format. It is written
// once and never changes.
type format struct {
	Magic   string    `json:"magic"`
	Format  int       `json:"format"`
	Library uuid.UUID `json:"library"`
	Created time.Time `json:"created"`
	Note    string    `json:"note"`
	Check   string    `json:"check"` // checksum of the fields above
}

const (
	formatMagic   = "mediafs"
	maxFormatFile = 64 << 10
)

// check is crc32c over the other fields, each ended by a newline: it finds damage, and a hand that
// changed something.
func (f format) check() string {
	s := fmt.Sprintf("%s\n%d\n%s\n%s\n%s\n", f.Magic, f.Format, f.Library, f.Created.UTC().Format(time.RFC3339), f.Note)
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(s), castagnoli))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeFormat(lib uuid.UUID, created time.Time, note string) ([]byte, error) {
	note = strings.ToValidUTF8(note, "?")
	f := format{
		Magic:   formatMagic,
		Format:  formatNumber,
		Library: lib,
		Created: created.UTC().Truncate(time.Second),
		Note:    note,
	}
	f.Check = f.check()
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, remote.E("", "", remote.Invalid, err)
	}
	if b = append(b, '\n'); len(b) > maxFormatFile {
		return nil, remote.E("", "", remote.TooLarge, fmt.Errorf("the note has %d bytes", len(note))).
			WithHint("use a shorter note")
	}
	return b, nil
}

// decodeFormat reads a format.json. Errors: Corrupt, Unsupported for a format of the future, of
// which it reads no more than the number.
func decodeFormat(b []byte) (format, error) {
	var v struct {
		Magic  string `json:"magic"`
		Format *int   `json:"format"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return format{}, corrupt("it is not what mediafs writes: %w", err)
	}
	if v.Magic != formatMagic || v.Format == nil || *v.Format < 0 {
		return format{}, corrupt("it does not say that this is a library of mediafs")
	}
	if *v.Format > formatNumber {
		return format{}, remote.E(
			"", "", remote.Unsupported,
			fmt.Errorf("the library is in format %d, this version of mediafs knows %d", *v.Format, formatNumber),
		).WithHint(upgradeHint)
	}
	// The checksum is over the text of the fields, which is only equal to what check makes of them
	// in their usual form.
	var text struct{ Library, Created string }
	var f format
	if err := errors.Join(json.Unmarshal(b, &text), json.Unmarshal(b, &f)); err != nil {
		return format{}, corrupt("it is not what mediafs writes: %w", err)
	}
	if f.Library.String() != text.Library || f.Created.UTC().Format(time.RFC3339) != text.Created {
		return format{}, corrupt(
			"its library %q or time %q is not in the form that mediafs writes", text.Library, text.Created,
		)
	}
	if want := f.check(); f.Check != want {
		return format{}, corrupt("its checksum is %q, its fields have %q", f.Check, want)
	}
	return f, nil
}
