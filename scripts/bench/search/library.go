package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog/index"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// A library is a photo archive of so many media that exists only as a store's answers: a checkpoint
// of all of it, or a log that makes it. Each media follows from its number alone, so that both have
// the same.
type library struct {
	media  int
	log    bool // the store has a log and no checkpoint
	length int  // commits of the log
}

const (
	perFolder    = 200
	firstFolder  = 2
	firstMedia   = 1 << 40
	perCommit    = 240 // media in a commit of the log
	mediaSeconds = 150 // between two pictures: a million are five years
)

var (
	cameras = [][2]string{
		{"Canon", "Canon EOS R5"},
		{"Canon", "Canon EOS 80D"},
		{"NIKON CORPORATION", "NIKON Z 6"},
		{"Apple", "iPhone 12 Pro"},
		{"Apple", "iPhone 15"},
		{"SONY", "ILCE-7M3"},
		{"FUJIFILM", "X-T4"},
		{"samsung", "SM-G991B"},
	}
	lenses = []string{
		"RF24-70mm F2.8 L IS USM", "EF50mm f/1.8 STM", "NIKKOR Z 24-70mm f/4 S", "iPhone 12 Pro back triple camera",
		"FE 85mm F1.8", "XF35mmF2 R WR",
	}
	cities = []string{
		"Paris", "Besançon", "Genève", "Tokyo", "San Francisco", "Lisboa", "Kraków", "Reykjavík", "Cape Town", "Hanoi",
	}
	people = []string{"Ann Becker", "Jörg Müller", "Élise Dubois", "Tom Ryan"}
)

// word is one of 4,000 words, the first much more often than the last.
func word(rnd *rand.Rand) string {
	n := int(4000 * rnd.Float64() * rnd.Float64() * rnd.Float64())
	syllables := []string{
		"ba", "ke", "li", "mo", "nu", "ra", "sel", "tor", "vin", "zan", "pe", "dor", "fi", "gal", "hus", "jo",
	}
	return syllables[n%16] + syllables[n/16%16] + syllables[n/256%16]
}

func marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func mediaID(i int) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("media"), uint64(i)))
	return sum[:16]
}

func contentID(i int) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("content"), uint64(i)))
	return sum[:16]
}

func nodeOf(i int) uint64   { return firstMedia + uint64(i) }
func folderOf(i int) uint64 { return firstFolder + uint64(i/perFolder) }

func taken(i int) int64 {
	return time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC).Unix() + int64(i)*mediaSeconds
}

func random(i int, what uint64) *rand.Rand { return rand.New(rand.NewPCG(uint64(i), what)) }

func dentry(i int) (key, value []byte) {
	rnd := random(i, 1)
	name := fmt.Sprintf("IMG_%s_%06d", time.Unix(taken(i), 0).UTC().Format("20060102"), i%1e6)
	if rnd.IntN(4) == 0 {
		name += " " + word(rnd) + " " + word(rnd)
	}
	name += []string{".jpg", ".jpg", ".jpg", ".CR3", ".mp4"}[rnd.IntN(5)]
	return record.DentryKey(folderOf(i), name), marshal(&record.Dentry{Node: nodeOf(i), Kind: 8})
}

func node(i int) (key, value []byte) {
	t := &record.Time{Seconds: taken(i) + 86400}
	return record.NodeKey(
			nodeOf(i),
		), marshal(
			&record.Node{
				Mode:    0o100644,
				Uid:     1000,
				Gid:     1000,
				Atime:   t,
				Mtime:   &record.Time{Seconds: taken(i)},
				Ctime:   t,
				Btime:   t,
				Head:    head(i),
				MediaId: mediaID(i),
			},
		)
}

func head(i int) *record.Head {
	size := 500_000 + uint64(random(i, 2).ExpFloat64()*4e6)
	return &record.Head{Size: size, Extents: []*record.Extent{{Length: size, Content: contentID(i)}}}
}

func content(i int) (key, value []byte) {
	return record.ContentKey(
			contentID(i),
		), marshal(
			&record.Content{
				Size:      head(i).Size,
				Type:      "image/jpeg",
				HasCrc32:  true,
				Crc32:     uint32(i),
				BlockSums: make([]byte, 40),
			},
		)
}

// facts are what a camera writes; one in ten has a title and keywords, one in a thousand is wider
// than any screen.
func facts(i int) (key, value []byte) {
	rnd := random(i, 3)
	camera := cameras[i/5000%len(cameras)]
	f := &record.Facts{
		Head:    index.HeadSum(head(i)),
		Version: 1,
		Type:    "image/jpeg",
		Class:   "image",
		Width:   6000,
		Height:  4000,
		Make:    camera[0],
		Model:   camera[1],
		Lens:    lenses[rnd.IntN(len(lenses))],
		Taken: &record.Date{
			Time: &record.Time{Seconds: taken(i)},
			Zone: proto.Int32(60),
		},
		Iso:         100,
		Aperture:    2.8,
		Exposure:    0.005,
		FocalLength: 50,
	}
	if rnd.IntN(3) == 0 {
		f.Place = &record.Place{Latitude: int32(rnd.IntN(120e7) - 50e7), Longitude: int32(rnd.IntN(360e7) - 180e7)}
		f.City = cities[rnd.IntN(len(cities))]
	}
	if rnd.IntN(10) == 0 {
		f.Title, f.Keywords = word(rnd)+" "+word(rnd)+" "+word(rnd), []string{word(rnd), word(rnd)}
		f.Creator = people[rnd.IntN(len(people))]
	}
	if rnd.IntN(1000) == 0 {
		f.Width = 30000
	}
	return record.FactsKey(nodeOf(i)), marshal(f)
}

// edits are of one media in five.
func edits(i int) (key, value []byte) {
	rnd := random(i, 4)
	if rnd.IntN(5) > 0 {
		return nil, nil
	}
	m := &record.Media{
		Edited: &record.Time{Seconds: taken(i)},
		Tags:   &record.Tags{Tag: []string{word(rnd), word(rnd) + " " + word(rnd)}},
		Rating: proto.Uint32(uint32(rnd.IntN(11))),
	}
	if rnd.IntN(4) == 0 {
		m.Title = word(rnd) + " " + word(rnd)
	}
	return record.MediaKey(mediaID(i)), marshal(m)
}

// sorted yields records of hashed keys in their order.
func (l *library) sorted(of func(i int) (key, value []byte), id func(i int) []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		order := make([]uint32, l.media)
		first := make([]uint64, l.media)
		for i := range order {
			order[i] = uint32(i)
			first[i] = binary.BigEndian.Uint64(id(i))
		}
		sortBy(order, func(i uint32) uint64 { return first[i] })
		for _, i := range order {
			if key, value := of(int(i)); key != nil && !yield(key, value) {
				return
			}
		}
	}
}

func (l *library) each(of func(i int) (key, value []byte)) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for i := range l.media {
			if !yield(of(i)) {
				return
			}
		}
	}
}

func (l *library) folders() int { return (l.media + perFolder - 1) / perFolder }

// Records are the library as a checkpoint has it.
func (l *library) Records(context.Context) iter.Seq2[remote.Record, error] {
	return func(yield func(remote.Record, error) bool) {
		put := func(key, value []byte) bool { return yield(remote.Record{Key: key, Value: value}, nil) }
		all := func(seq iter.Seq2[[]byte, []byte]) bool {
			for k, v := range seq {
				if !put(k, v) {
					return false
				}
			}
			return true
		}
		folderNode := marshal(&record.Node{Mode: 0o40755})
		ok := put(record.CountsKey(record.Root), record.EncodeCounters(uint64(l.folders()), uint64(l.folders())))
		for f := 0; ok && f < l.folders(); f++ {
			ok = put(
				record.CountsKey(firstFolder+uint64(f)),
				record.EncodeCounters(uint64(min(perFolder, l.media-f*perFolder)), 0),
			)
		}
		for f := 0; ok && f < l.folders(); f++ {
			ok = put(record.LinksKey(firstFolder+uint64(f)), record.EncodeCounters(1))
		}
		for i := 0; ok && i < l.media; i++ {
			ok = put(record.LinksKey(nodeOf(i)), record.EncodeCounters(1))
		}
		ok = ok && put(record.UsageKey(), record.EncodeCounters(uint64(l.media+l.folders()+1), 1, 0, 1))
		for f := 0; ok && f < l.folders(); f++ {
			ok = put(
				record.DentryKey(record.Root, fmt.Sprintf("roll %06d", f)),
				marshal(&record.Dentry{Node: firstFolder + uint64(f), Kind: 4}),
			)
		}
		ok = ok && all(l.each(dentry)) && all(l.each(facts)) && all(l.sorted(edits, mediaID)) &&
			put(record.NodeKey(record.Root), folderNode)
		for f := 0; ok && f < l.folders(); f++ {
			ok = put(record.NodeKey(firstFolder+uint64(f)), folderNode)
		}
		_ = ok && all(l.each(node)) && all(l.sorted(content, contentID))
	}
}

func (l *library) Seq() uint64  { return 1 }
func (l *library) Hash() []byte { return make([]byte, 32) }
func (l *library) Bytes() int64 { return int64(l.media) * 800 }

// OpenCheckpoint makes it a remote.Log.
func (l *library) OpenCheckpoint(context.Context) (remote.Checkpoint, error) {
	if l.log {
		return nil, remote.E("open checkpoint", "", remote.NotExist, nil)
	}
	return l, nil
}

// OpenCheckpointBefore: it has one.
func (l *library) OpenCheckpointBefore(context.Context, uint64) (remote.Checkpoint, error) {
	return nil, remote.E("open checkpoint", "", remote.NotExist, nil)
}

// Read yields commits that make media as programs do: node, name and content in one.
func (l *library) Read(_ context.Context, first uint64) iter.Seq2[remote.LogEntry, error] {
	return func(yield func(remote.LogEntry, error) bool) {
		if !l.log {
			return
		}
		var previous []byte
		for n := 1; n <= l.length; n++ {
			commit := &record.Commit{Previous: previous}
			add := func(key, value []byte) {
				commit.Writes = append(commit.Writes, &record.Write{Key: key, Value: value})
			}
			for i := (n - 1) * perCommit; i < n*perCommit; i++ {
				add(node(i))
				add(dentry(i))
				add(content(i))
			}
			body, err := record.EncodeCommit(commit)
			previous = record.Hash(body)
			if uint64(n) < first {
				continue
			}
			if !yield(remote.LogEntry{Seq: uint64(n), Body: body}, err) || err != nil {
				return
			}
		}
	}
}

func (l *library) Append(context.Context, uint64, []byte) error { return nil }

func (l *library) Horizon(context.Context) (uint64, error) { return 1, nil }

func (l *library) WriteCheckpoint(context.Context, uint64, []byte, iter.Seq2[remote.Record, error]) (int64, error) {
	return 0, remote.E("write checkpoint", "", remote.Unsupported, nil)
}

func (l *library) Now() time.Time { return time.Time{} }
