package control

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestRawNames(t *testing.T) {
	for _, name := range []RawName{"", "a", "é\n", "b\xff/\x00", "{"} {
		b, err := json.Marshal(Target{Path: name})
		if err != nil {
			t.Fatal(err)
		}
		var back Target
		if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, Target{Path: name}) {
			t.Errorf("%q: %s, %+v, %v", name, b, back, err)
		}
	}
}
