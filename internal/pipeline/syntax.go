package pipeline

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// parse reads the syntax of a file, nil where that has a mistake.
func (p *Pipeline) parse(path string, src []byte) *hcl.File {
	p.texts[path] = &hcl.File{Bytes: bytes.ToValidUTF8(src, []byte("\ufffd"))}
	for at, r := range string(src) {
		if r == utf8.RuneError && !bytes.HasPrefix(src[at:], []byte("\ufffd")) {
			p.wrong(atLine(path, 1+bytes.Count(src[:at], []byte("\n"))), "File is not UTF-8",
				"A byte in this line can't be part of a UTF-8 text. Save the file as UTF-8.")
			return nil
		}
	}
	file, diags := parsed(src, path, hclsyntax.LexConfig, hclsyntax.ParseConfig)
	if file != nil {
		p.texts[path] = file
	}
	if !p.add(diags) {
		return nil
	}
	return file
}

// parsed is what one of HCL's parsers makes of a text, if that does not nest too deeply. What has
// no end is the only mistake that it reports then, because HCL stumbles over what follows.
func parsed[E any](src []byte, name string,
	lex func([]byte, string, hcl.Pos) (hclsyntax.Tokens, hcl.Diagnostics),
	parse func([]byte, string, hcl.Pos) (E, hcl.Diagnostics)) (out E, diags hcl.Diagnostics) {
	tokens, _ := lex(src, name, hcl.InitialPos)
	if d := tooDeep(tokens); d != nil {
		return out, hcl.Diagnostics{d}
	}
	if out, diags = parse(src, name, hcl.InitialPos); !diags.HasErrors() {
		return out, diags
	}
	d, first := unbalanced(tokens), diags[0].Subject.Start.Line
	switch {
	case d == nil:
		return out, onePerLine(src, diags, tokens)
	case d.Summary == noBeginning && first < d.Subject.Start.Line:
		return out, diags[:1]
	}
	return out, hcl.Diagnostics{d}
}

// ends are the tokens that end what others begin.
var ends = map[hclsyntax.TokenType]hclsyntax.TokenType{
	hclsyntax.TokenOBrace:          hclsyntax.TokenCBrace,
	hclsyntax.TokenOBrack:          hclsyntax.TokenCBrack,
	hclsyntax.TokenOParen:          hclsyntax.TokenCParen,
	hclsyntax.TokenTemplateInterp:  hclsyntax.TokenTemplateSeqEnd,
	hclsyntax.TokenTemplateControl: hclsyntax.TokenTemplateSeqEnd,
	hclsyntax.TokenOQuote:          hclsyntax.TokenCQuote,
	hclsyntax.TokenOHeredoc:        hclsyntax.TokenCHeredoc,
}

const noBeginning = "Bracket without a beginning"

// tooDeep finds brackets, and operators before one operand, that nest too deeply for the parser.
func tooDeep(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	depth, prefixes := 0, 0
	step := map[hclsyntax.TokenType]int{}
	for begin, end := range ends {
		step[begin], step[end] = 1, -1
	}
	for _, t := range tokens {
		prefixes++
		depth += step[t.Type]
		switch t.Type {
		case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenComment,
			hclsyntax.TokenNewline:
		default:
			prefixes = 0
		}
		if depth > maxDepth || prefixes > 100*maxDepth {
			return wrongf(t.Range, "Nesting too deep", "More than %d brackets are open here. "+
				"Give parts of it a name in a locals block.", maxDepth)
		}
	}
	return nil
}

// unbalanced finds the first text or bracket that has no end, or no beginning.
func unbalanced(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	var open []hclsyntax.Token
	var suspects []hclsyntax.Token // that end in a line that looks like the end of another
	columns := map[int]int{}       // of the first tokens of lines
	for _, t := range tokens {
		n, at := len(open)-1, t.Range.Start
		columns[at.Line] = cmp.Or(columns[at.Line], at.Column)
		closes := func(o hclsyntax.Token) bool { return ends[o.Type] == t.Type }
		switch {
		case ends[t.Type] != 0:
			open = append(open, t)
		case t.Type == hclsyntax.TokenQuotedNewline:
			return unendedQuote(open)
		case n >= 0 && t.Type == hclsyntax.TokenCHeredoc: // no ${ of this text took its end
			open, suspects = open[:n], slices.DeleteFunc(suspects, inTemplate)
		case n >= 0 && closes(open[n]):
			if begin := open[n].Range.Start.Line; begin < at.Line &&
				(columns[begin] > at.Column || inTemplate(open[n])) {
				suspects = append(suspects, open[n])
			}
			open = open[:n]
		case slices.ContainsFunc(open, closes):
			return unended(open[n])
		case slices.Contains(slices.Collect(maps.Values(ends)), t.Type):
			return wrongf(t.Range, noBeginning,
				"No bracket is open that this %s could end.", t.Bytes)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return unended(append(suspects, open[len(open)-1])[0])
}

func inTemplate(t hclsyntax.Token) bool { return ends[t.Type] == hclsyntax.TokenTemplateSeqEnd }

// unended is the mistake of a bracket, or of a text of lines, without an end.
func unended(t hclsyntax.Token) *hcl.Diagnostic {
	rng := t.Range
	rng.End = rng.Start
	if t.Type == hclsyntax.TokenOHeredoc {
		return wrongf(rng, "Text without an end", "The text that begins here has no end: a line "+
			"with nothing but %s.", strings.Trim(string(t.Bytes), "<- \n"))
	}
	return wrongf(rng, "Bracket without an end", "The %s that begins here has no end.", t.Bytes)
}

// unendedQuote is the mistake of a quoted text that does not end in its line. A quote that opens
// behind a ${ was to end the text in which the ${ stands.
func unendedQuote(open []hclsyntax.Token) *hcl.Diagnostic {
	n := len(open) - 1
	line := open[n].Range.Start.Line
	if n > 0 && inTemplate(open[n-1]) && open[n-1].Range.Start.Line == line {
		return unended(open[n-1])
	}
	return wrongf(open[n].Range, "Text without an end", "A text begins in this line that no "+
		"quote ends. For several lines: <<-EOT ... EOT.")
}

// otherWords are words and signs of other languages, and what stands for them here.
var otherWords = map[string]string{"and": "&&", "or": "||", "not": "!", "=": "=="}

// onePerLine leaves one mistake of each line, and says in it what else is meant there.
func onePerLine(src []byte, diags hcl.Diagnostics, tokens hclsyntax.Tokens) (out hcl.Diagnostics) {
	lines := map[int]bool{}
	for _, d := range diags {
		at := *d.Subject
		if lines[at.Start.Line] {
			continue
		}
		lines[at.Start.Line] = true
		text := src[at.Start.Byte:]
		switch {
		case d.Detail == "This character is not used within the language.":
			r, _ := utf8.DecodeRune(text)
			d.Detail = fmt.Sprintf("The character %#U can't stand here. Write a plain blank, "+
				"quote or minus, or nothing, in its place.", r)
		case d.Summary == "Invalid expression" && bytes.HasPrefix(text, []byte("<")):
			d.Detail = "A text of several lines begins with <<-EOT, without a blank or a quote " +
				"before EOT, and ends with EOT."
			return append(out, d)
		case d.Summary == "Invalid escape sequence":
			d.Detail += ` In a quoted text a backslash is written twice, as in "\\d+".`
		case strings.HasPrefix(d.Summary, "Missing"):
			for _, t := range tokens {
				word := strings.ToLower(string(t.Bytes))
				if here := otherWords[word]; here != "" && t.Range.Start.Line == at.Start.Line &&
					(word != "=" || t.Range.Start.Byte == at.Start.Byte) {
					d.Detail += fmt.Sprintf(" Write %s for %q.", here, word)
				}
			}
		}
		out = append(out, d)
	}
	return out
}
