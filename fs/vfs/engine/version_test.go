package engine_test

import (
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
)

func TestRetained(t *testing.T) {
	now := time.Date(2031, 5, 10, 12, 30, 0, 0, time.UTC)
	ago := func(d time.Duration) vfs.Time { return vfs.TimeOf(now.Add(-d)) }
	h, day := time.Hour, 24*time.Hour
	for _, c := range []struct {
		name  string
		times []vfs.Time
		want  string
	}{
		{"none", nil, ""},
		{"all of the last hour", []vfs.Time{ago(59 * time.Minute), ago(2 * time.Minute), ago(time.Minute), ago(0)}, "kkkk"},
		{"one an hour", []vfs.Time{ago(5*h + 29*time.Minute), ago(5*h + 2*time.Minute), ago(5 * h), ago(4 * h)}, "..kk"},
		{"one a day", []vfs.Time{ago(20*day + 3*h), ago(20 * day), ago(19 * day), ago(25 * h)}, ".kkk"},
		{"an hour and a day of the same moment are not taken for each other", []vfs.Time{ago(25 * h), ago(23 * h)}, "kk"},
		{"past their time", []vfs.Time{ago(31 * day), ago(2 * h)}, ".k"},
		{"of the future", []vfs.Time{ago(-time.Hour), ago(-2 * h)}, "kk"},
	} {
		got := ""
		for _, k := range operation.Retained(c.times, vfs.TimeOf(now)) {
			got += map[bool]string{true: "k", false: "."}[k]
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	var many []vfs.Time
	for i := range 80 {
		many = append(many, ago(time.Duration(80-i)*time.Second))
	}
	for i, k := range operation.Retained(many, vfs.TimeOf(now)) {
		if k != (i >= 30) {
			t.Errorf("the %dth of 80: kept %v", i, k)
		}
	}
}
