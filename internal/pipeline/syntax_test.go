package pipeline

import "testing"

// A mistake of syntax is reported once, in the line where what is wrong begins. The stage begins in
// line 1.
func TestSyntax(t *testing.T) {
	const (
		bracket, text = "Bracket without an end", "Text without an end"
		newline       = "Missing newline after argument"
		character     = "Invalid character"
	)
	for _, c := range []struct {
		src  string
		want mistake
	}{
		{`values = { v = "a${" }`, mistake{2, bracket, "The ${ that begins here"}},
		{`values = { v = "${mol.smiles" }`, mistake{2, bracket, "The ${ that begins here"}},
		{`values = { v = "50%{" }`, mistake{2, bracket, "The %{ that begins here"}},
		{`values = { v = "a\" }`, mistake{2, text, "A text begins in this line"}},
		{"command = [\"true\"\n  cores = 1", mistake{2, bracket, "The [ that begins here"}},
		{"command = concat([\"a\"]\n  cores = 1", mistake{2, bracket, "The ( that begins"}},
		{"command = [abs(1]", mistake{2, bracket, "The ( that begins here"}},
		{"values = {\n    a = 1\n  cores = 1", mistake{2, bracket, "The { that begins here"}},
		{"outputs = { a = \"b\"\n  cores = 1", mistake{2, bracket, "The { that begins here"}},
		{`command = "true"]`, mistake{2, "Bracket without a beginning", "this ]"}},
		{"values = v = 1 }", mistake{2, newline, "must end with a newline."}},
		{"file \"x\" {\n  content = <<E\n${a\nE\n}", mistake{4, bracket, "The ${ that begins"}},
		{"file \"x\" {\n  content = <<E\n50%{ a\nE\n}", mistake{4, bracket, "The %{ that"}},
		{"file \"x\" {\n  content = upper(<<E\nx\nE)\n}", mistake{3, text, "nothing but E"}},
		{"file \"x\" {\n  content = << E\nx\nE\n}", mistake{3, "Invalid expression", "<<-EOT"}},
		{"enabled = true and false", mistake{2, newline, `Write && for "and".`}},
		{"enabled = not true", mistake{2, newline, `Write ! for "not".`}},
		{"enabled = mol.charge = 1", mistake{2, newline, `Write == for "=".`}},
		{"title = 'x'", mistake{2, character, "Single quotes"}},
		{"title = “x”", mistake{2, character, "Curly quotes"}},
		{"title\u00a0= \"x\"", mistake{2, character, "U+00A0"}},
		{`values = { v = regex("\d+", "1") }`, mistake{2, "Invalid escape sequence", `"\\d+"`}},
		{"cores = 5 – 3", mistake{2, character, "U+2013 '–'"}},
	} {
		t.Run(c.src, func(t *testing.T) {
			_, err := load(t, "stage \"a\" {\n  "+c.src+"\n}\n", testOptions())
			compare(t, found(t, err), []mistake{c.want})
		})
	}
}
