package main

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The limits of a text: words of a sentence and in parentheses, columns of a line.
const (
	mostWords    = 25
	mostInParens = 5
	pageColumns  = 120
	codeColumns  = 100
)

// instead has the words that are not written here, and what to write instead.
var instead = []struct {
	word *regexp.Regexp
	use  string
}{
	{regexp.MustCompile(`(?i)\bdecks?\b`), "MOPAC input file"},
	{regexp.MustCompile(`(?i)(^|\s)pools?([\s,;:)]|\.\s|\.?$)`), "starting conformers"},
	{regexp.MustCompile(`(?i)\bfold(s|ed|ing)?\b`), "what happens: counted once, joined"},
	{regexp.MustCompile(`(?i)\bmend(s|ed|ing)?\b`), "correct, repair"},
	{regexp.MustCompile(`(?i)\bla(y|ys|id) out\b`), "format, arrange"},
	{regexp.MustCompile(`(?i)\banew\b`), "again"},
	{regexp.MustCompile(`(?i)\bthe house\b`), "architecture"},
	{regexp.MustCompile(`(?i)\bours\b`), "the name of the thing"},
	{regexp.MustCompile(`(?i)\b(is|are|was|were) said\b`), "who says it, or: the message"},
}

var (
	codeSpan  = regexp.MustCompile("`+[^`]+`+")
	link      = regexp.MustCompile(`!?\[([^\]]*)\]\([^)\s]*\)`)
	parens    = regexp.MustCompile(`\([^()]*\)`)
	reference = regexp.MustCompile(`\b(19|20)[0-9][0-9]\b`) // the year of a paper
	sentence  = regexp.MustCompile(`(?s).*?([.!?]["'”)*_]*(\s+|$)|$)`)
	word      = regexp.MustCompile(`\S*[\pL\pN]\S*`)
	letters   = regexp.MustCompile(`^\pL\pL+$`)
	item      = regexp.MustCompile(`^\s*([-*] |[0-9]+\. |#+ |> )`)
)

// checkPage checks a page in Markdown. Code is left out, and a cell of a table ends a sentence.
func checkPage(name, text string) []finding {
	lines := strings.Split(text, "\n")
	var found []finding
	isCode := false
	for i, line := range lines {
		isFence := strings.HasPrefix(strings.TrimSpace(line), "```")
		isIndented := strings.HasPrefix(line, "    ") && (i == 0 || lines[i-1] == "")
		switch {
		case isFence, isCode, isIndented:
			isCode = isCode != isFence
			lines[i] = ""
		case strings.HasPrefix(line, "|"):
			lines[i] = "- " + strings.ReplaceAll(codeSpan.ReplaceAllString(line, "x"), "|", " . ")
		case strings.HasPrefix(line, "#"):
			lines[i] += "."
		case !strings.Contains(line, "://"):
			found = append(found, tooWide(name, i+1, line, pageColumns)...)
		}
	}
	return append(found, checkProse(name, lines)...)
}

// checkScript checks a file in which # begins a comment.
func checkScript(name, text string) []finding {
	lines := strings.Split(text, "\n")
	var found []finding
	for i, line := range lines {
		found = append(found, tooWide(name, i+1, line, pageColumns)...)
		code, comment, ok := strings.Cut(line, "# ")
		lines[i] = comment
		switch {
		case !ok, strings.Count(code, `"`)%2 == 1:
			lines[i] = ""
		case strings.TrimSpace(code) != "":
			lines[i] = "- " + comment + "."
		}
	}
	return append(found, checkProse(name, lines)...)
}

// checkWidth checks the lines of a part of a page.
func checkWidth(name, text string) (found []finding) {
	for i, line := range strings.Split(text, "\n") {
		found = append(found, tooWide(name, i+1, line, codeColumns)...)
	}
	return found
}

// checkProse checks sentences. An empty line ends a paragraph, and an item of a list begins one.
func checkProse(name string, lines []string) []finding {
	var found []finding
	next := 0
	for first := 0; first < len(lines); first = next {
		next = first + 1
		if lines[first] == "" {
			continue
		}
		for next < len(lines) && lines[next] != "" && !item.MatchString(lines[next]) {
			next++
		}
		text := strings.Join(lines[first:next], "\n")
		found = append(found, checkParagraph(name, first+1, text)...)
	}
	return found
}

// checkParagraph checks a paragraph that begins in this line.
func checkParagraph(name string, first int, text string) []finding {
	text = codeSpan.ReplaceAllStringFunc(text, func(code string) string {
		return "x" + strings.Repeat("\n", strings.Count(code, "\n"))
	})
	text = link.ReplaceAllString(text, "$1")
	found := bannedWords(name, first, text)
	report := func(at int, format string, args ...any) {
		line := first + strings.Count(text[:at], "\n")
		found = append(found, finding{name, line, fmt.Sprintf(format, args...)})
	}
	for _, at := range parens.FindAllStringIndex(text, -1) {
		inside := text[at[0]:at[1]]
		n := len(word.FindAllString(inside, -1))
		if n > mostInParens && !reference.MatchString(inside) {
			report(at[0], "%d words in parentheses, more than %d: write a sentence of its own", n,
				mostInParens)
		}
	}
	for _, at := range sentence.FindAllStringIndex(text, -1) {
		words := word.FindAllString(text[at[0]:at[1]], -1)
		if n := len(words); n > mostWords {
			report(at[0], "a sentence of %d words, more than %d: write two", n, mostWords)
		}
		for i := 1; i < len(words); i++ {
			if words[i] == words[i-1] && letters.MatchString(words[i]) {
				report(at[0], "%q stands twice: write it once", words[i])
			}
		}
	}
	return found
}

// bannedWords finds the words of instead in a text that begins in this line.
func bannedWords(name string, first int, text string) (found []finding) {
	for _, banned := range instead {
		for _, at := range banned.word.FindAllStringIndex(text, -1) {
			found = append(found, finding{name, first + strings.Count(text[:at[0]], "\n"),
				fmt.Sprintf("%q: write %s", strings.TrimSpace(text[at[0]:at[1]]), banned.use)})
		}
	}
	return found
}

// textColumns is the length from which a text of a test need not be broken.
const textColumns = 60

// tooWide finds a line that has more columns than most, a tab as 4.
func tooWide(name string, line int, text string, most int) []finding {
	n := utf8.RuneCountInString(text) + 3*strings.Count(text, "\t")
	if n <= most {
		return nil
	}
	return []finding{{name, line, fmt.Sprintf("%d columns, more than %d: break the line", n, most)}}
}
