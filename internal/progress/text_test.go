package progress

import "testing"

func TestBrief(t *testing.T) {
	for seconds, want := range map[float64]string{-1: "0.0s", 0.04: "0.0s", 3.21: "3.2s",
		9.94: "9.9s",
		9.96: "10s", 59.4: "59s", 59.6: "1m0s", 125: "2m5s", 599: "9m59s", 599.6: "10m",
		3599.6: "1h0m",
		3780:   "1h3m", 86400*2 + 4*3600: "2d4h", 86400*30 - 1: "30d0h"} {
		if got := brief(at(seconds).Sub(noon)); got != want {
			t.Errorf("%v s: %q, want %q", seconds, got, want)
		}
	}
}

func TestReason(t *testing.T) {
	for text, want := range map[string]string{
		"m1/pm7/2: no SCF (artefacts/m1/pm7.failed/2/pm7.out)": "pm7/2: no SCF",
		"m1/a: it (b) failed (sh ended with exit code 3; artefacts/m1/a.failed/stderr); not " +
			"tried again, because it can only fail the same " +
			"way": "a: it (b) failed; not tried again, because " +
			"it can only fail the same way",
		"m1/pm7: odd (C, H)":    "pm7: odd (C, H)",
		"the folder is no file": "the folder is no file",
		"":                      "",
	} {
		if got := cause(row(0, "m1", "Rerun", text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	for hours, want := range map[float64]string{0.5: "12:30", 11.9: "23:54", 12: "Thu 00:00",
		100: "Sun 16:00",
		143: "Tue 11:00", 145: "10 Mar 13:00", 24 * 365: "4 Mar 12:00"} {
		if got := clock(at(3600*hours), noon); got != want {
			t.Errorf("in %v hours: %s, want %s", hours, got, want)
		}
	}
}

// A line that is too long for the terminal is broken at a blank, but not in a command.
func TestWrap(t *testing.T) {
	for name, test := range map[string]struct {
		width      int
		text, want string
	}{
		"short":          {12, "one two\n\n  three\n", "one two\n\n  three\n"},
		"exactly":        {8, "one two\n", "one two\n"},
		"long":           {8, "one two three\n", "one two\n    three\n"},
		"the last cell":  {7, "one two\n", "one\n    two\n"},
		"without an end": {8, "one two three", "one two\n    three"},
		"several lines": {10, "one two three four five\n",
			"one two\n    three\n    four\n    five\n"},
		"indented":   {12, "  one two three\n", "  one two\n      three\n"},
		"two blanks": {9, "one  two  three\n", "one  two\n    three\n"},
		"a long word": {9, "one /a/path/of/a/file two\n",
			"one\n    /a/path/of/a/file\n    two\n"},
		"one long word": {9, "/a/path/of/a/file\n", "/a/path/of/a/file\n"},
		"cells":         {8, "één twee\n", "één\n    twee\n"},
		"a command": {24, "Write it: mage batch -table=mine.csv -yes, then\n",
			"Write it:\n    mage batch -table=mine.csv -yes,\n    then\n"},
		"a molecule": {20, "Next: mage why azirine shows why\n",
			"Next:\n    mage why azirine\n    shows why\n"},
		"a command alone": {20, "One of mage report\n", "One of mage report\n"},
		"a quoted flag": {20, "Say mage batch '-set=a=\"b c\"' then\n",
			"Say\n    mage batch '-set=a=\"b c\"'\n    then\n"},
	} {
		if got := wrap(test.text, test.width); got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, test.want)
		}
	}
}
