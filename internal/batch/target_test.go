package batch

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What programs write on their last line goes into a cell: it must never end the batch, or speak to
// the terminal.
func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"two\nlines\tand  blanks ":        "two lines and blanks",
		"a NUL\x00 and \x1b[31mcolour":    "a NUL and [31mcolour",
		"bytes \xff\xfe that are no text": "bytes that are no text",
		"gradient 0.93 kcal/mol/Å, C1–O3": "gradient 0.93 kcal/mol/Å, C1–O3",
		"":                                "",
	} {
		if got := oneLine(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if long := oneLine(strings.Repeat("ä", 10_000)); utf8.RuneCountInString(long) > 510 ||
		!utf8.ValidString(long) {
		t.Errorf("%d characters are left", utf8.RuneCountInString(long))
	}
}
