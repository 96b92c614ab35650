package facts

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mediafs/remote"
)

// How much ffprobe gets of a media: it decides within 5 MB, and codecs of films stand at the front.
const maxProbed = 8 << 20

// probe asks ffprobe about a film or sound of which nothing here knows how it is coded or how long
// it is. It gets the first bytes through a pipe, and may open nothing else. Whatever it says or
// does wrong, the facts stay what they were.
func (w *Worker) probe(
	ctx context.Context, src Source, f remote.MediaFacts, doc *remote.FactsDocument,
) (remote.MediaFacts, *remote.FactsDocument, error) {
	known := readers[f.Type] != nil && f.Type != "video/ogg" ||
		f.Class != remote.ClassVideo && f.Class != remote.ClassAudio
	if known || w.opt.Probe == "none" || strings.HasPrefix(f.Type, "text/") ||
		strings.HasPrefix(f.Type, "application/vnd.apple.mpegurl") {
		return f, doc, nil
	}
	program := w.opt.Probe
	if program == "" {
		program = "ffprobe"
	}
	program, err := exec.LookPath(program)
	if err != nil {
		return f, doc, nil
	}
	out, failure := runProbe(ctx, program, w.opt, src)
	if err := ctx.Err(); err != nil {
		err = context.Cause(ctx)
		return remote.MediaFacts{}, nil, remote.E("read facts of", src.Name, remote.KindOf(err), err)
	}
	if failure != nil {
		return remote.MediaFacts{}, nil, remote.E("read facts of", src.Name, remote.KindOf(failure), failure)
	}
	if doc == nil {
		doc = &remote.FactsDocument{}
	}
	mergeProbe(&f, doc, out, src.Size)
	doc = tidy(&f, doc, w.opt.Limits)
	return f, doc, nil
}

// runProbe returns what the program wrote, nil when it failed; failure is the source's.
func runProbe(ctx context.Context, program string, opt Options, src Source) (out []byte, failure error) {
	ctx, cancel := context.WithTimeout(ctx, opt.Timeout)
	defer cancel()
	cmd := exec.CommandContext(
		ctx, program, "-v", "quiet", "-protocol_whitelist", "pipe", "-print_format", "json", "-show_format",
		"-show_streams", "pipe:0",
	)
	win := newWindow(ctx, src, maxProbed+maxReadHead)
	stdout := &excerpt{room: 1 << 20}
	cmd.Stdin, cmd.Stdout, cmd.Dir, cmd.Env = win.section(0, min(src.Size, maxProbed)), stdout, "/", []string{
		"LC_ALL=C.UTF-8",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, nil
	}
	if err := limit(cmd.Process.Pid, opt.Memory); err != nil {
		cancel()
	}
	err := cmd.Wait()
	if win.failure != nil && ctx.Err() == nil {
		return nil, win.failure
	}
	if err != nil {
		return nil, nil
	}
	return []byte(stdout.String()), nil
}

// A probed is what is read of ffprobe's answer.
type probed struct {
	Streams []struct {
		Kind       string         `json:"codec_type"`
		Codec      string         `json:"codec_name"`
		Width      int            `json:"width"`
		Height     int            `json:"height"`
		Rate       string         `json:"avg_frame_rate"`
		SampleRate string         `json:"sample_rate"`
		Channels   int            `json:"channels"`
		Duration   string         `json:"duration"`
		Tags       map[string]any `json:"tags"`
	} `json:"streams"`
	Format struct {
		Duration string            `json:"duration"`
		BitRate  string            `json:"bit_rate"`
		Tags     map[string]string `json:"tags"`
	} `json:"format"`
}

func mergeProbe(f *remote.MediaFacts, doc *remote.FactsDocument, out []byte, size int64) {
	var p probed
	if err := json.NewDecoder(io.LimitReader(bytes.NewReader(out), 1<<20)).Decode(&p); err != nil {
		return
	}
	setFloat(&f.Duration, rational(p.Format.Duration))
	for _, s := range p.Streams[:min(len(p.Streams), 64)] {
		switch s.Kind {
		case "video":
			setText(&f.VideoCodec, s.Codec)
			if f.Width == 0 {
				f.Width, f.Height = s.Width, s.Height
			}
			setFloat(&f.FrameRate, rational(s.Rate))
		case "audio":
			setText(&f.AudioCodec, s.Codec)
			setInt(&f.SampleRate, number(s.SampleRate))
			setInt(&f.Channels, s.Channels)
		default:
			continue
		}
		setFloat(&f.Duration, rational(s.Duration))
		doc.Streams = append(
			doc.Streams,
			map[string]any{
				"kind":        s.Kind,
				"codec":       s.Codec,
				"width":       s.Width,
				"height":      s.Height,
				"sample_rate": number(s.SampleRate),
				"channels":    s.Channels,
			},
		)
	}
	if n, err := strconv.ParseInt(p.Format.BitRate, 10, 64); err == nil && f.Duration == 0 && n > 0 {
		f.BitRate = n
		if f.Class == remote.ClassAudio { // frames without an index: all of the media is sound
			f.Duration = float64(size) * 8 / float64(n)
		}
	} else if f.Duration > 0 {
		f.BitRate = int64(float64(size) * 8 / f.Duration)
	}
	if f.Type == "video/x-ms-asf" && f.VideoCodec == "" && f.AudioCodec != "" {
		f.Type, f.Class = "audio/x-ms-wma", remote.ClassAudio
	}
	if len(p.Format.Tags) == 0 {
		return
	}
	tags := tagMap{}
	for k, v := range p.Format.Tags {
		tags.add(strings.ToUpper(k), v)
	}
	if doc.Tags == nil {
		doc.Tags = tags
	}
	x := &extraction{facts: *f}
	x.mergeVorbis(tags)
	if t, zone, ok := parseTime(tags.text("CREATION_TIME")); ok && f.Class == remote.ClassVideo {
		x.took(t, zone)
	}
	*f = x.facts
}
