package cli

import (
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	time.Local = time.FixedZone("", 3600)
	for text, want := range map[string]string{
		"2026-11-01":                 "2026-11-01T22:59:59.999Z",
		"2026-11-01T15:04":           "2026-11-01T14:04:00Z",
		"2026-11-01 15:04":           "2026-11-01T14:04:00Z",
		"2026-11-01T15:04:05":        "2026-11-01T14:04:05.999Z",
		"2026-11-01 15:04:05":        "2026-11-01T14:04:05.999Z",
		"2026-11-01T15:04:05.25":     "2026-11-01T14:04:05.25Z",
		"2026-11-01T15:04:05Z":       "2026-11-01T15:04:05.999Z",
		"2026-11-01T15:04:05-02:00":  "2026-11-01T17:04:05.999Z",
		"2026-11-01 15:04:05 -02:00": "2026-11-01T17:04:05.999Z",
		"2026-11-01T15:04Z":          "2026-11-01T15:04:00Z",
		"2026-13-01":                 "", "1.11.2026": "", "": "",
	} {
		got, err := parseTime(text)
		if (err != nil) != (want == "") || err == nil &&
			got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
}

// TestPrintChanges prints texts that a terminal would obey.
func TestPrintChanges(t *testing.T) {
	var out strings.Builder
	printChanges(&out, "", map[string]string{"smiles": `F/C=C\F`, "gone": "é\x1b]0;x\a"},
		map[string]string{"smiles": "C\nC", "new\x1b[2J": "\xff"})
	want := "  gone                        \"é\\x1b]0;x\\a\" → blank\n" +
		"  \"new\\x1b[2J\"                \"\\xff\"\n" +
		"  smiles                      F/C=C\\F → \"C\\nC\"\n"
	if out.String() != want {
		t.Errorf("%s\nwant:\n%s", out.String(), want)
	}
}

func TestOtherTable(t *testing.T) {
	others := []string{"/new/data/o.csv", "postgres://h/d?table=t"}
	for path, want := range map[string]string{
		"/new/data/o.csv": others[0], "/old/data/o.csv": others[0], others[1]: others[1],
		"/new/data/t.csv": "", "/old/data/t.csv": "", "/x/y.csv": "", "": "",
	} {
		if got := otherTable(path, others, "/new/data/t.csv"); got != want {
			t.Errorf("%q is of table %q, want %q", path, got, want)
		}
	}
}
