package pipeline

import (
	"testing"

	"github.com/zclconf/go-cty/cty"
)

func TestCellText(t *testing.T) {
	for _, c := range [][2]string{
		{"0", "0"}, {"-0", "0"}, {"-17.545", "-17.545"},
		{"1234567890123", "1234567890123"}, {"-1234567890123", "-1234567890123"},
		{"123456789012345", "123456789012345"}, {"1234567890123456", "1234567890123456"},
		{"9007199254740991", "9007199254740991"}, {"9007199254740993", "9007199254740993"},
		{"999999999999999999999", "999999999999999999999"}, {"1e20", "100000000000000000000"},
		{"1e21", "1e+21"}, {"6.02214076e23", "6.02214076e+23"},
		{"1234567890123.4", "1234567890123.4"}, {"123456789012.75", "123456789012.75"},
		{"1732809146.123456", "1732809146.123456"}, {"1234567890123456.7", "1234567890123456.8"},
		{"-1.23456789012345", "-1.23456789012"}, {"0.30000000000000004", "0.3"}, {"1e-12", "1e-12"},
	} {
		got, err := cellText(cty.MustParseNumberVal(c[0]))
		if err != nil || got != c[1] {
			t.Errorf("%s: got %q, %v, want %q", c[0], got, err, c[1])
		}
	}
	if got, err := cellText(cty.True); err != nil || got != "true" {
		t.Errorf("true: got %q, %v", got, err)
	}
}

// A value is kept as JSON keeps it: a number comes back with its digits.
func TestNumbersInJSON(t *testing.T) {
	for _, text := range []string{"0", "-1234567890123", "9007199254740993", "1152921504606846976",
		"0.1", "-17.545",
		"9007199254740992", "602214076000000000000", "123456789012345678901234567890"} {
		v := cty.MustParseNumberVal(text)
		data, err := toJSON(cty.ObjectVal(map[string]cty.Value{"n": v}))
		if err != nil || string(data) != `{"n":`+text+`}` || !fromJSON(data)["n"].RawEquals(v) {
			t.Errorf("%s is kept as %s, %v", text, data, err)
		}
	}
	if _,
		err := toJSON(cty.NumberFloatVal(1).Divide(cty.NumberIntVal(3)).Multiply(
		cty.MustParseNumberVal("1e400"))); err == nil {
		t.Error("a number that no double holds is kept")
	}
}
