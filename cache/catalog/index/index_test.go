package index

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"mediafs/remote/bucket/record"
	"mediafs/remote/terms"
)

func show(list []Posting) string {
	var all []string
	for _, p := range list {
		all = append(all, fmt.Sprintf("%c:%q", p.Kind, p.Term))
	}
	return strings.Join(all, " ")
}

func TestPostings(t *testing.T) {
	at := &record.Date{Time: &record.Time{Seconds: 100}, Zone: proto.Int32(2)}
	dated := fmt.Sprintf("d:%q", terms.Time(220))
	favorite, from := OfAttached(record.AttachedFavorite, []byte("ann"), []byte{})
	comment, _ := proto.Marshal(&record.Comment{Text: "So nice, so"})
	said, _ := OfAttached(record.AttachedComment, []byte{7}, comment)
	vote, _ := OfAttached(record.AttachedVote, []byte("ann"), []byte{})
	for _, c := range []struct {
		what string
		got  []Posting
		want string
	}{
		{"name", OfName("IMG_img 1.jpg", &record.Dentry{Kind: 8}), `w:"1" w:"img" w:"jpg"`},
		{"folder", OfName("x", &record.Dentry{Kind: 4}), ``},
		{"no name", OfName("x", nil), ``},
		{"node", OfNode(&record.Node{Mode: 0o100644, Head: &record.Head{Size: 8}}), `a:"\x80\x00\x00\x00\x00" s:"\b"`},
		{"folder's node", OfNode(&record.Node{Mode: 0o40755}), ``},
		{"no node", OfNode(nil), ``},
		{"facts", OfFacts(&record.Facts{Model: "X T4", Class: "image", Type: "image/jpeg", Taken: at}), dated + ` k:"image" m:"X T4" w:"t4" w:"x" y:"image/jpeg"`},
		{"facts of an unknown class", OfFacts(&record.Facts{Class: "smell"}), `k:"*"`},
		{"no facts", OfFacts(nil), ``},
		{"edits", OfMedia(&record.Media{Tags: &record.Tags{Tag: []string{"Sea", "sea"}}, Type: "a/b", Hidden: true, Rating: proto.Uint32(0)}), `h:"" k:"*" t:"Sea" t:"sea" w:"sea" y:"a/b"`},
		{"no edits", OfMedia(nil), ``},
		{"favorite", favorite, `f:"ann"`},
		{"comment", said, `c:"nice" c:"so"`},
		{"vote", vote, ``},
		{"pending", OfPending(&record.Node{Mode: 0o100644}, nil), `q:""`},
		{"pending, facts of other bytes", OfPending(&record.Node{Mode: 0o100644}, &record.Facts{Head: []byte{1}}), `q:""`},
		{"not pending", OfPending(&record.Node{Mode: 0o100644}, &record.Facts{Head: HeadSum(nil)}), ``},
	} {
		if s := show(c.got); s != c.want {
			t.Errorf("%s: %s, want %s", c.what, s, c.want)
		}
	}
	if from != FromFavorite || FromName(1, "a") == FromName(2, "a") || FromName(1, "a") == FromName(1, "b") {
		t.Error("sources")
	}
}

// Keys give back what they were made of, and their order is by kind, term and node.
func TestKeys(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	type entry struct {
		p    Posting
		node uint64
	}
	var all []entry
	for range 500 {
		p := Posting{terms.Word, strings.Repeat("ab", rnd.IntN(3))[:]}
		if rnd.IntN(2) == 0 {
			p = Posting{terms.Added, terms.Time(rnd.Int64N(5) - 2)}
		}
		all = append(all, entry{p, rnd.Uint64() >> 1 >> rnd.IntN(60)})
	}
	for _, a := range all {
		key := Key(nil, a.p, a.node, FromNode)
		kind, term, node, ok := Parse(key)
		if !ok || kind != a.p.Kind || string(term) != a.p.Term || node != a.node ||
			!bytes.HasPrefix(key, Prefix(nil, kind, a.p.Term)) {
			t.Fatalf("%+v comes back as %c %q %d, %v", a, kind, term, node, ok)
		}
		for _, b := range all {
			less := a.p.Kind < b.p.Kind ||
				a.p.Kind == b.p.Kind && (a.p.Term < b.p.Term || a.p.Term == b.p.Term && a.node < b.node)
			if less && bytes.Compare(key, Key(nil, b.p, b.node, FromFacts)) >= 0 {
				t.Fatalf("%+v is not before %+v", a, b)
			}
		}
	}
	for _, bad := range []string{"", "w", "wab", "wab\x00", "wab\x001234567", "a1234", "a123451234567"} {
		if _, _, _, ok := Parse([]byte(bad)); ok {
			t.Errorf("%q is taken for a key", bad)
		}
	}
}

// However hostile a record is, its postings are few enough: a record has at most 64 KiB.
func TestBounds(t *testing.T) {
	words := strings.Repeat("a b c d e f g h i j k l m n o p q r s t u v w x y z ", 1000)
	var distinct []string
	for i := range 10000 {
		distinct = append(distinct, fmt.Sprint(i))
	}
	long := strings.Join(distinct, " ")[:40000]
	for what, list := range map[string][]Posting{
		"name":  OfName(long[:255], &record.Dentry{Kind: 8}),
		"facts": OfFacts(&record.Facts{Title: long, Description: words, Comment: long}),
		"media": OfMedia(&record.Media{Title: long, Description: long}),
	} {
		if len(list) > 1200 || !slices.IsSortedFunc(list, func(a, b Posting) int {
			return strings.Compare(string(rune(a.Kind))+a.Term, string(rune(b.Kind))+b.Term)
		}) {
			t.Errorf("%s: %d postings", what, len(list))
		}
		for _, p := range list {
			if len(p.Term) > terms.MaxText {
				t.Errorf("%s: a term of %d bytes", what, len(p.Term))
			}
		}
	}
}
