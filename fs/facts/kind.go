package facts

import (
	"bytes"
	"path"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"mediafs/remote"
)

// sniffed is how much of a media its type is told by: office files have the names that tell them
// apart in the first tens of KiB.
const sniffed = blockSize

func init() {
	mimetype.SetLimit(sniffed) // of the whole process; nothing else here uses that library
}

// sniff finds the type and class.
func (x *extraction) sniff() error {
	head, err := x.w.upTo(0, sniffed)
	x.head = head
	x.facts.Type = typeOf(head, x.name)
	x.facts.Class = classOf(x.facts.Type, x.name)
	return err
}

// typeOf tells the media type by the first bytes of a media. The name's extension has a say only
// where the bytes leave a choice: texts, containers that many formats share, bytes that say
// nothing. It runs in the parent as well, on no more than some KiB: it panics for none.
func typeOf(head []byte, name string) (mediaType string) {
	defer func() {
		if recover() != nil {
			mediaType = "application/octet-stream"
		}
	}()
	ext := extension(name)
	if len(head) == 0 {
		if t := textTypes[ext]; t != "" {
			return t
		}
		return "application/x-empty"
	}
	if t := signature(head); t != "" {
		return t
	}
	t, _, _ := strings.Cut(mimetype.Detect(head).String(), ";")
	if other, ok := renamed[t]; ok {
		t = other
	}
	switch t {
	case "image/tiff":
		if raw := rawTypes[ext]; raw != "" {
			return raw
		}
	case "application/zip":
		if in := zipTypes[ext]; in != "" {
			return in
		}
	case "application/x-ole-storage":
		if in := oleTypes[ext]; in != "" {
			return in
		}
	case "text/plain", "text/csv", "text/tab-separated-values", "application/json", "text/xml", "text/html":
		if text := textTypes[ext]; text != "" {
			return text
		}
	case "application/octet-stream":
		if other := rawTypes[ext]; other != "" && ext != "tif" {
			return other
		}
		if ext == "ts" || ext == "mts" || ext == "m2ts" {
			if packets(head) {
				return "video/mp2t"
			}
		}
	}
	return t
}

// signature tells what the sniffing library leaves open or calls otherwise.
func signature(head []byte) string {
	at := func(off int, s string) bool { return len(head) >= off+len(s) && string(head[off:off+len(s)]) == s }
	switch {
	case at(4, "ftypcrx "):
		return "image/x-canon-cr3"
	case at(4, "ftypM4A "), at(4, "ftypM4B "):
		return "audio/mp4"
	case at(4, "ftypmif1"), at(4, "ftypmsf1"):
		// The major brand is the container's; the compatible ones say with what it was coded.
		brands := head[:min(len(head), 64)]
		switch {
		case bytes.Contains(brands, []byte("avif")):
			return "image/avif"
		case bytes.Contains(brands, []byte("heic")), bytes.Contains(brands, []byte("heix")):
			return "image/heic"
		}
		return "image/heif"
	case at(4, "moov"), at(4, "wide"), at(4, "mdat"), at(4, "skip"), at(4, "pnot"):
		return "video/quicktime" // files from before there was ftyp
	case at(0, "II*\x00") && at(8, "CR"):
		return "image/x-canon-cr2"
	case at(0, "FUJIFILMCCD-RAW"):
		return "image/x-fuji-raf"
	case at(0, "IIRO"), at(0, "IIRS"):
		return "image/x-olympus-orf"
	case at(0, "IIU\x00"):
		return "image/x-panasonic-rw2"
	case at(0, "ID3"):
		return ""
	case at(0, "OggS"):
		// The first page's packet names its codec.
		switch page := head[:min(len(head), 128)]; {
		case bytes.Contains(page, []byte("\x80theora")),
			bytes.Contains(page, []byte("BBCD\x00")),
			bytes.Contains(page, []byte("\x01video")):
			return "video/ogg"
		}
		return "audio/ogg"
	case len(head) > 188*3 && head[0] == 0x47 && packets(head):
		return "video/mp2t"
	case len(head) > 3 && head[0] == 0xff && head[1]&0xe0 == 0xe0 && head[1] != 0xff:
		if _, ok := parseMP3(head); ok {
			return "audio/mpeg"
		}
	}
	return ""
}

// packets reports whether bytes are packets of an MPEG transport stream: of 188 bytes, or of 192 as
// cameras write them.
func packets(head []byte) bool {
	for _, shape := range [][2]int{{0, 188}, {4, 192}} {
		n := 0
		for at := shape[0]; at < len(head) && n < 5 && head[at] == 0x47; at += shape[1] {
			n++
		}
		if n == 5 {
			return true
		}
	}
	return false
}

func extension(name string) string {
	return strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))
}

// renamed are types for which the sniffing library has another name than the registries, or than
// other stores use.
var renamed = map[string]string{
	"video/matroska":    "video/x-matroska",
	"audio/x-m4a":       "audio/mp4",
	"audio/ape":         "audio/x-ape",
	"application/ogg":   "audio/ogg",
	"audio/x-unknown":   "audio/x-voc",
	"application/x-elf": "application/x-executable",
}

// rawTypes are photos as the sensor saw them, most of which are TIFF files of sorts: the extension
// tells whose.
var rawTypes = map[string]string{
	"dng": "image/x-adobe-dng",
	"cr2": "image/x-canon-cr2",
	"cr3": "image/x-canon-cr3",
	"crw": "image/x-canon-crw",
	"nef": "image/x-nikon-nef",
	"nrw": "image/x-nikon-nef",
	"arw": "image/x-sony-arw",
	"sr2": "image/x-sony-arw",
	"pef": "image/x-pentax-pef",
	"orf": "image/x-olympus-orf",
	"rw2": "image/x-panasonic-rw2",
	"raf": "image/x-fuji-raf",
	"3fr": "image/x-hasselblad-3fr",
	"iiq": "image/x-phaseone-iiq",
	"erf": "image/x-epson-erf",
	"mrw": "image/x-minolta-mrw",
	"srw": "image/x-samsung-srw",
	"x3f": "image/x-sigma-x3f",
	"rwl": "image/x-leica-rwl",
}

// zipTypes are formats that are a zip whose beginning did not say more.
var zipTypes = map[string]string{
	"docx":    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"xlsx":    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"pptx":    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	"odt":     "application/vnd.oasis.opendocument.text",
	"ods":     "application/vnd.oasis.opendocument.spreadsheet",
	"odp":     "application/vnd.oasis.opendocument.presentation",
	"epub":    "application/epub+zip",
	"jar":     "application/java-archive",
	"apk":     "application/vnd.android.package-archive",
	"key":     "application/vnd.apple.keynote",
	"numbers": "application/vnd.apple.numbers",
	"pages":   "application/vnd.apple.pages",
	"kmz":     "application/vnd.google-earth.kmz",
	"cbz":     "application/vnd.comicbook+zip",
}

// oleTypes are Microsoft's formats before they were zips.
var oleTypes = map[string]string{
	"doc": "application/msword",
	"xls": "application/vnd.ms-excel",
	"ppt": "application/vnd.ms-powerpoint",
	"pps": "application/vnd.ms-powerpoint",
	"msg": "application/vnd.ms-outlook",
	"msi": "application/x-ms-installer",
	"pub": "application/vnd.ms-publisher",
	"vsd": "application/vnd.visio",
}

// textTypes are formats that are text, and by their bytes alone nothing more.
var textTypes = map[string]string{
	"txt":      "text/plain",
	"md":       "text/markdown",
	"markdown": "text/markdown",
	"csv":      "text/csv",
	"tsv":      "text/tab-separated-values",
	"json":     "application/json",
	"geojson":  "application/geo+json",
	"gpx":      "application/gpx+xml",
	"kml":      "application/vnd.google-earth.kml+xml",
	"xml":      "text/xml",
	"xmp":      "application/rdf+xml",
	"yaml":     "application/yaml",
	"yml":      "application/yaml",
	"toml":     "application/toml",
	"ini":      "text/plain",
	"log":      "text/plain",
	"html":     "text/html",
	"htm":      "text/html",
	"css":      "text/css",
	"js":       "text/javascript",
	"mjs":      "text/javascript",
	"ts":       "text/x-typescript",
	"tsx":      "text/x-typescript",
	"jsx":      "text/javascript",
	"go":       "text/x-go",
	"c":        "text/x-c",
	"h":        "text/x-c",
	"cc":       "text/x-c++",
	"cpp":      "text/x-c++",
	"hpp":      "text/x-c++",
	"cs":       "text/x-csharp",
	"java":     "text/x-java",
	"kt":       "text/x-kotlin",
	"swift":    "text/x-swift",
	"rs":       "text/x-rust",
	"py":       "text/x-python",
	"rb":       "text/x-ruby",
	"pl":       "text/x-perl",
	"php":      "text/x-php",
	"sh":       "text/x-shellscript",
	"bash":     "text/x-shellscript",
	"bat":      "text/x-bat",
	"ps1":      "text/x-powershell",
	"sql":      "application/sql",
	"lua":      "text/x-lua",
	"r":        "text/x-r",
	"scala":    "text/x-scala",
	"m":        "text/x-objective-c",
	"tex":      "text/x-tex",
	"rst":      "text/x-rst",
	"srt":      "application/x-subrip",
	"vtt":      "text/vtt",
	"svg":      "image/svg+xml",
	"eml":      "message/rfc822",
	"ics":      "text/calendar",
	"vcf":      "text/vcard",
	"rtf":      "application/rtf",
	"patch":    "text/x-diff",
	"diff":     "text/x-diff",
	"proto":    "text/x-protobuf",
	"vue":      "text/x-vue",
	"dart":     "text/x-dart",
	"mk":       "text/x-makefile",
	"cmake":    "text/x-cmake",
	"ipynb":    "application/x-ipynb+json",
}

// classOf tells the class of a type. The first that fits of: a type that a table names, the part
// before the slash, source code by its type, text.
func classOf(mediaType, name string) remote.Class {
	if c := classes[mediaType]; c != "" {
		return c
	}
	family, sub, _ := strings.Cut(mediaType, "/")
	switch family {
	case "image":
		return remote.ClassImage
	case "video":
		return remote.ClassVideo
	case "audio":
		return remote.ClassAudio
	case "font":
		return remote.ClassData
	case "model":
		return remote.ClassData
	case "message":
		return remote.ClassDocument
	}
	switch {
	case strings.Contains(sub, "presentation"), strings.Contains(sub, "powerpoint"), strings.Contains(sub, "keynote"):
		return remote.ClassPresentation
	case strings.Contains(sub, "spreadsheet"), strings.Contains(sub, "excel"), strings.Contains(sub, "numbers"):
		return remote.ClassSpreadsheet
	case strings.Contains(sub, "wordprocessing"),
		strings.Contains(sub, "opendocument"),
		strings.Contains(sub, "msword"):
		return remote.ClassDocument
	case family == "text" && sub == "plain":
		if path.Base(name) == "Makefile" || path.Base(name) == "Dockerfile" {
			return remote.ClassDevelopment
		}
		return remote.ClassDocument
	case family == "text":
		return remote.ClassDevelopment // what is a text with a type of its own, and not in the table, is source code
	}
	return remote.ClassData
}

// classes has the types whose class does not follow from their name.
//
//	application   programs that run: executables, libraries, packages to install
//	archive       files within a file, compressed or not
//	data          what programs read: tables of numbers, databases, tracks, fonts, models, and what nobody knows
//	development   source code and what belongs to it
//	document      what people read page by page
var classes = map[string]remote.Class{
	"application/x-executable":                      remote.ClassApplication,
	"application/x-sharedlib":                       remote.ClassApplication,
	"application/x-object":                          remote.ClassDevelopment,
	"application/vnd.microsoft.portable-executable": remote.ClassApplication,
	"application/x-mach-binary":                     remote.ClassApplication,
	"application/vnd.android.package-archive":       remote.ClassApplication,
	"application/java-archive":                      remote.ClassApplication,
	"application/wasm":                              remote.ClassApplication,
	"application/vnd.debian.binary-package":         remote.ClassApplication,
	"application/x-rpm":                             remote.ClassApplication,
	"application/x-ms-installer":                    remote.ClassApplication,
	"application/x-shockwave-flash":                 remote.ClassApplication,
	"application/x-chrome-extension":                remote.ClassApplication,
	"application/x-java-applet":                     remote.ClassDevelopment,

	"application/zip":                   remote.ClassArchive,
	"application/x-tar":                 remote.ClassArchive,
	"application/gzip":                  remote.ClassArchive,
	"application/x-bzip2":               remote.ClassArchive,
	"application/x-xz":                  remote.ClassArchive,
	"application/zstd":                  remote.ClassArchive,
	"application/x-7z-compressed":       remote.ClassArchive,
	"application/vnd.rar":               remote.ClassArchive,
	"application/lzip":                  remote.ClassArchive,
	"application/x-archive":             remote.ClassArchive,
	"application/x-cpio":                remote.ClassArchive,
	"application/x-xar":                 remote.ClassArchive,
	"application/vnd.ms-cab-compressed": remote.ClassArchive,
	"application/x-installshield":       remote.ClassArchive,
	"application/zlib":                  remote.ClassArchive,
	"application/warc":                  remote.ClassArchive,

	"application/pdf":                remote.ClassDocument,
	"application/postscript":         remote.ClassDocument,
	"application/rtf":                remote.ClassDocument,
	"text/rtf":                       remote.ClassDocument,
	"application/epub+zip":           remote.ClassDocument,
	"application/x-mobipocket-ebook": remote.ClassDocument,
	"image/vnd.djvu":                 remote.ClassDocument,
	"text/markdown":                  remote.ClassDocument,
	"text/html":                      remote.ClassDocument,
	"text/x-rst":                     remote.ClassDocument,
	"text/x-tex":                     remote.ClassDocument,
	"application/vnd.apple.pages":    remote.ClassDocument,
	"application/vnd.comicbook+zip":  remote.ClassDocument,
	"application/xhtml+xml":          remote.ClassDocument,
	"application/vnd.ms-outlook":     remote.ClassDocument,
	"application/vnd.ms-publisher":   remote.ClassDocument,
	"application/vnd.wordperfect":    remote.ClassDocument,
	"application/fdf":                remote.ClassDocument,
	"application/vnd.ms-htmlhelp":    remote.ClassDocument,
	"text/vtt":                       remote.ClassDocument,
	"application/x-subrip":           remote.ClassDocument,

	"text/csv":                     remote.ClassSpreadsheet,
	"text/tab-separated-values":    remote.ClassSpreadsheet,
	"application/vnd.lotus-1-2-3":  remote.ClassSpreadsheet,
	"application/vnd.sun.xml.calc": remote.ClassSpreadsheet,

	"text/xml":                         remote.ClassData,
	"text/calendar":                    remote.ClassData,
	"text/vcard":                       remote.ClassData,
	"text/vnd.familysearch.gedcom":     remote.ClassData,
	"application/vnd.apple.mpegurl":    remote.ClassAudio,
	"application/vnd.rn-realmedia-vbr": remote.ClassVideo,

	"application/sql":          remote.ClassDevelopment,
	"application/x-ipynb+json": remote.ClassDevelopment,
	"application/javascript":   remote.ClassDevelopment,
	"application/toml":         remote.ClassDevelopment,
	"application/yaml":         remote.ClassDevelopment,
}
