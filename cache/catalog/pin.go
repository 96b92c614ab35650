package catalog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// A pin is a batch on its way: a commit's body and the number it goes to. It is on disk, synced,
// before its first PUT, and stays until that number is known to be occupied: the same bytes go to
// the same number again, whatever happens to this process, so that an operation is in the log
// exactly once.
type pin struct {
	seq         uint64
	first, last uint64 // operations
	body        []byte
	fresh       bool // made by this process: the operations' writes are known to be the body's
}

// A pinFile keeps the newest pin, in a file that is overwritten in place: its sync costs a tenth of
// one of Badger's. A pin needs no deletion: one whose number is not above the applied one is over.
// One that is torn never had its PUT.
//
//	version (1 byte) · number · first · last operation (8 each) · length of body · CRC-32C of all but itself (4 each) · body
type pinFile struct{ f *os.File }

const (
	pinVersion = 1
	pinHeader  = 33
	pinRoom    = 64 << 10 // written at the start, so that most pins change no metadata of the file
)

func openPins(dir string) (pinFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, "pin"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return pinFile{}, local("open catalog", dir, err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() < pinRoom {
		_, err = f.WriteAt(make([]byte, pinRoom-st.Size()), st.Size())
	}
	if err == nil {
		// Room for the largest, so that none needs any. Where that cannot be had, it is taken as it
		// is needed.
		_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, pinHeader+2*record.MaxCommitBytes)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		f.Close()
		return pinFile{}, local("open catalog", dir, err)
	}
	return pinFile{f}, nil
}

func (p pinFile) close() error { return p.f.Close() }

// store returns when the pin survives a power loss.
func (p pinFile) store(n *pin) error {
	_, err := p.f.WriteAt(n.encode(), 0)
	if err == nil {
		err = unix.Fdatasync(int(p.f.Fd()))
	}
	if err != nil {
		return local("store batch", p.f.Name(), err)
	}
	return nil
}

// load reads the pin; nil when there is none.
func (p pinFile) load() (*pin, error) {
	st, err := p.f.Stat()
	if err != nil {
		return nil, local("read batch", p.f.Name(), err)
	}
	b := make([]byte, min(st.Size(), pinHeader+2*record.MaxCommitBytes))
	if _, err := p.f.ReadAt(b, 0); err != nil {
		return nil, local("read batch", p.f.Name(), err)
	}
	return decodePin(b)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (p *pin) encode() []byte {
	b := append(make([]byte, 0, pinHeader+len(p.body)), pinVersion)
	for _, n := range []uint64{p.seq, p.first, p.last} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.body)))
	b = binary.BigEndian.AppendUint32(b, crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, p.body))
	return append(b, p.body...)
}

// decodePin reads a pin; nil for one that was never whole.
func decodePin(b []byte) (*pin, error) {
	if len(b) < pinHeader || b[0] == 0 {
		return nil, nil
	}
	if b[0] != pinVersion {
		return nil, remote.E("open catalog", "", remote.Unsupported, errors.New("a batch in the outbox was written by a newer mediafs")).
			WithHint("mount with that one")
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	size := int64(binary.BigEndian.Uint32(b[25:]))
	if size > int64(len(b)-pinHeader) {
		return nil, nil
	}
	body := b[pinHeader : pinHeader+size]
	if crc32.Update(crc32.Checksum(b[:29], castagnoli), castagnoli, body) != binary.BigEndian.Uint32(b[29:]) {
		return nil, nil
	}
	return &pin{seq: n(0), first: n(1), last: n(2), body: append([]byte(nil), body...)}, nil
}
