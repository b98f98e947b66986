package batch

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	wordsBytes   = 32 << 10 // read at each end of a stream
	wordsLine    = 200      // characters that are shown of a line
	wordsFurther = 2        // lines of a reason after its first
)

var (
	// noise are lines that never tell why a program failed: parts of a backtrace, frames, and what
	// runtimes add to every end.
	noise = regexp.MustCompile(`^#\d+\s|^\[?0x[0-9a-fA-F]+|^(at|in) \S+:\d+$|^[^\pL\pN]*$|` +
		`(?i)^error termination\. backtrace|^backtrace\b|^could not print backtrace|` +
		`^image +pc +routine|^stack trace|^note: the following floating-point|` +
		`^(ab)?normal termination of`)
	// crash are the first words of a crash, whatever else stands there.
	crash = regexp.MustCompile(`(?i)^program received signal|^fortran runtime error|^forrtl: |` +
		`^terminate called|^\*\*\* .* \*\*\*:? terminated|^panic: |^segmentation fault`)
	errorStop = regexp.MustCompile(`(?i)^error stop\b`)
	// strong are words of a program that gives up, weak are those of its reasons.
	strong = regexp.MustCompile(`(?i)\b(error|fatal|stop|abort(ed|ing)?|exception)\b`)
	weak   = regexp.MustCompile(`(?i)\b(fail(ed|s|ure)?|cannot|can't|could not|unable|not|` +
		`no such|invalid|unknown|illegal|missing|unrecogni[sz]ed)\b`)
	mild = regexp.MustCompile(`(?i)^\W*(warning|note|info)\b`)
	// announced is how a line of ordinary output begins that is no ordinary output, or what stands
	// in it.
	announced = regexp.MustCompile(`(?i)^\W*(error|fatal|warning|failed)\b|\b(error stop|failed!)`)
	traceback = "Traceback (most recent call last):"
)

// ownWords is the reason that a failed program gives in its folder, on one line, "" for none: what
// stands first in stderr and tells something, and after it what stdout announces as an error or a
// warning. all says that any line of stderr counts, as of a program that ended badly; else it must
// sound like a reason. crashed says that the program's runtime says so.
func ownWords(dir string, all bool) (words string, crashed bool) {
	words, crashed = stderrWords(ends(filepath.Join(dir, stderrName)), all)
	output := stdoutWords(ends(filepath.Join(dir, stdoutName)))
	switch {
	case words == "":
		return output, crashed
	case strings.Contains(words, output):
		return words, crashed
	}
	return strings.TrimSuffix(words, ".") + "; its output says: " + output, crashed
}

// stderrWords finds the reason on a program's standard error: at the best of the signs.
func stderrWords(text string, all bool) (words string, crashed bool) {
	if at := strings.LastIndex(text, traceback); at >= 0 { // the last line is the exception
		lines := strings.Split(strings.TrimSpace(text[at:]), "\n")
		return clipped(lines[len(lines)-1]), false
	}
	lines := lines(text)
	says := func(l string, sign *regexp.Regexp) bool {
		return sign.MatchString(l) && !mild.MatchString(l)
	}
	at := -1
	for _, sign := range []*regexp.Regexp{crash, errorStop, strong, weak} {
		if at = slices.IndexFunc(lines, func(l string) bool { return says(l, sign) }); at >= 0 {
			crashed = sign == crash
			break
		}
	}
	if at < 0 && all {
		at = slices.IndexFunc(lines, func(l string) bool { return l != "" })
	}
	if at < 0 {
		return "", false
	}
	if at > 0 && says(lines[at-1], weak) {
		at--
	}
	return paragraph(lines[at:]), crashed
}

// stdoutWords finds the last paragraph of a program's output that begins as an error or a warning.
func stdoutWords(text string) string {
	lines := lines(text)
	for at, l := range slices.Backward(lines) {
		if announced.MatchString(l) {
			return paragraph(lines[at:])
		}
	}
	return ""
}

// paragraph is the first of some lines and the few that follow it, up to a blank one.
func paragraph(lines []string) (out string) {
	for _, l := range lines[:min(1+wordsFurther, len(lines))] {
		switch {
		case l == "":
			return out
		case out != "" && !strings.ContainsAny(out[len(out)-1:], ".:;,!?"):
			out += "; "
		case out != "":
			out += " "
		}
		out += clipped(l)
	}
	return out
}

// lines are the lines of a text. Noise is blank.
func lines(text string) []string {
	out := strings.Split(text, "\n")
	for i, l := range out {
		if out[i] = strings.TrimSpace(l); noise.MatchString(out[i]) {
			out[i] = ""
		}
	}
	return out
}

func clipped(line string) string {
	line = strings.Join(strings.Fields(line), " ")
	if r := []rune(line); len(r) > wordsLine {
		line = string(r[:wordsLine]) + "..."
	}
	return line
}

// ends is the beginning and the end of a regular file, "" of any other.
func ends(name string) string {
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, wordsBytes))
	if info.Size() > 2*wordsBytes {
		_, _ = f.Seek(-wordsBytes, io.SeekEnd)
		data = append(data, "\n\n"...)
	}
	tail, _ := io.ReadAll(io.LimitReader(f, wordsBytes))
	text := strings.ReplaceAll(string(append(data, tail...)), "\r", "\n")
	return strings.ToValidUTF8(text, "?")
}
