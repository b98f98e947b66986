package batch

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"grimperium/internal/durable"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
)

const (
	wordsBytes = 32 << 10 // read at each end of a stream
	wordsLine  = 200      // characters that are shown of a line
	wordsLines = 3        // that are shown of a reason
)

var (
	// noise are lines that never tell why a program failed: of a backtrace, or of every end.
	noise = regexp.MustCompile(`^#\d+\s|^\[?0x[0-9a-fA-F]+|^(at|in) \S+:\d+$|^[^\pL\pN]*$|` +
		`(?i)^error termination\. backtrace|^backtrace\b|^could not print backtrace|` +
		`^image +pc +routine|^stack trace|^note: the following floating-point|` +
		`^(ab)?normal termination of`)
	// crash are the first words of a crash, whatever else stands there.
	crash = regexp.MustCompile(`(?i)^program received signal|^fortran runtime error|^forrtl: |` +
		`^terminate called|^\*\*\* .* \*\*\*:? terminated|^panic: |^segmentation fault`)
	// strong are words of a program that gives up, weak are those of its reasons.
	strong = regexp.MustCompile(`(?i)\b(error|fatal|stop|abort(ed|ing)?|exception)\b`)
	weak   = regexp.MustCompile(`(?i)\b(fail(ed|s|ure)?|cannot|can't|could not|unable|not|` +
		`no such|invalid|unknown|illegal|missing|unrecogni[sz]ed)\b`)
	mild = regexp.MustCompile(`(?i)^\W*(warning|note|info)\b`)
	// announced marks a line of ordinary output that is an error or a warning.
	announced = regexp.MustCompile(`(?i)^\W*(error|fatal|warning|failed)\b|\b(error stop|failed!)`)
	traceback = "Traceback (most recent call last):"
)

// ownWords is the reason that a failed program gives in its folder, on one line, "" for none. The
// first telling line of stderr comes first. After it comes the text that stdout announces as an
// error or a warning. all says that any line of stderr counts, as after a program that ended badly.
// Otherwise a line must sound like a reason. crashed: the reason is from the program's runtime.
func ownWords(dir string, all bool) (words string, crashed bool) {
	words, crashed = stderrWords(lines(filepath.Join(dir, stderrName)), all)
	output, stdout := "", lines(filepath.Join(dir, stdoutName))
	for at, l := range stdout {
		if announced.MatchString(l) { // the last such line counts
			output = paragraph(stdout[at:])
		}
	}
	switch {
	case words == "":
		return output, crashed
	case strings.Contains(words, output):
		return words, crashed
	}
	return strings.TrimSuffix(words, ".") + "; its output says: " + output, crashed
}

// stderrWords finds the reason on a program's standard error: at the best of the signs.
func stderrWords(lines []string, all bool) (words string, crashed bool) {
	if at := slices.Index(lines, traceback); at >= 0 { // the last line is the exception
		return lines[len(lines)-1], false
	}
	says := func(l string, sign *regexp.Regexp) bool {
		return sign.MatchString(l) && !mild.MatchString(l)
	}
	for _, sign := range []*regexp.Regexp{crash, strong, weak} {
		at := slices.IndexFunc(lines, func(l string) bool { return says(l, sign) })
		if at > 0 && says(lines[at-1], weak) {
			at--
		}
		if at >= 0 {
			return paragraph(lines[at:]), sign == crash
		}
	}
	at := slices.IndexFunc(lines, func(l string) bool { return l != "" })
	if at < 0 || !all {
		return "", false
	}
	return paragraph(lines[at:]), false
}

// paragraph is the first few of some lines, up to a blank one.
func paragraph(lines []string) (out string) {
	for _, l := range lines[:min(wordsLines, len(lines))] {
		switch {
		case l == "":
			return out
		case out != "" && !strings.ContainsAny(out[len(out)-1:], ".:;,!?"):
			out += "; "
		case out != "":
			out += " "
		}
		out += l
	}
	return out
}

// lines are the lines of the beginning and the end of a regular file, with single spaces and
// clipped. Noise is blank. Another kind of file has none.
func lines(name string) (out []string) {
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	head, _ := part(name, 0, wordsBytes)
	tail, _ := part(name, max(wordsBytes, info.Size()-wordsBytes), wordsBytes)
	text := strings.ToValidUTF8(string(head)+"\n\n"+string(tail), "?")
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r", "\n"))
	for l := range strings.SplitSeq(text, "\n") {
		l = clip(strings.Join(strings.Fields(l), " "), wordsLine)
		if noise.MatchString(l) {
			l = ""
		}
		out = append(out, l)
	}
	return out
}

// part reads at most n bytes of a regular file from a place on.
func part(path string, from, n int64) ([]byte, error) {
	f, err := durable.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, from, n))
}

// TakenBack says which variables have another value now because what gave them a value in the last
// batch, such as -set, gives them none now.
func TakenBack(p *pipeline.Pipeline, journalPath string) (texts []string) {
	last := journal.LastStart(journalPath)
	for _, v := range p.Variables {
		was, by := last.Settings[v.Name], last.Given[v.Name]
		if by == "" || by == v.Source || was == v.Text() {
			continue
		}
		value := was
		if !plainWord.MatchString(value) {
			value = fmt.Sprintf("%q", value)
		}
		texts = append(texts, fmt.Sprintf("%s was %s in the last batch, by %s, and is %s now, "+
			"by %s; %s keeps it", v.Name, cmp.Or(was, `""`), by, cmp.Or(v.Text(), `""`), v.Source,
			Quoted("-set="+v.Name+"="+value)))
	}
	return texts
}

// plainWord is a value that -set takes without quotes.
var plainWord = regexp.MustCompile(`^([A-Za-z_][\w-]*|-?\d+(\.\d+)?)$`)

// Like is a question after the name that is most like a word, "" if none is.
func Like(word string, names []string, before string) string {
	best := pipeline.Nearest(word, names, max(1, len(word)/3))
	if best == "" {
		return ""
	}
	return "; did you mean " + before + best + "?"
}
