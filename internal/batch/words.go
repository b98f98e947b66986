package batch

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
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
	noise = regexp.MustCompile(`^#\d+\s|^\[?0x[0-9a-fA-F]+|^(at|in) \S+:\d+$|(?i)^error termination\. backtrace|^backtrace\b|^could not print backtrace|` +
		`^image +pc +routine|^stack trace|^note: the following floating-point|^(ab)?normal termination of|^[^\pL\pN]*$`)
	// crash are the first words of a crash, whatever else stands there.
	crash = regexp.MustCompile(`(?i)^program received signal|^fortran runtime error|^forrtl: |^terminate called|^\*\*\* .* \*\*\*:? terminated|` +
		`^panic: |^segmentation fault`)
	errorStop = regexp.MustCompile(`(?i)^error stop\b`)
	// strong are words of a program that gives up, weak are those of its reasons.
	strong = regexp.MustCompile(`(?i)\b(error|fatal|stop|abort(ed|ing)?|exception)\b`)
	weak   = regexp.MustCompile(`(?i)\b(fail(ed|s|ure)?|cannot|can't|could not|unable|not|no such|invalid|unknown|illegal|missing|unrecogni[sz]ed)\b`)
	mild   = regexp.MustCompile(`(?i)^\W*(warning|note|info)\b`)
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
	if said := stdoutWords(ends(filepath.Join(dir, stdoutName))); said != "" && !strings.Contains(words, said) {
		if words != "" {
			words = strings.TrimSuffix(words, ".") + "; its output says: "
		}
		words += said
	}
	return words, crashed
}

// stderrWords finds the reason on a program's standard error.
func stderrWords(text string, all bool) (words string, crashed bool) {
	if at := strings.LastIndex(text, traceback); at >= 0 { // of a Python exception the last line tells
		lines := strings.Split(strings.TrimSpace(text[at:]), "\n")
		return clipped(lines[len(lines)-1]), false
	}
	lines := lines(text)
	at := find(lines, crash.MatchString)
	crashed = at >= 0
	if at < 0 {
		at = find(lines, errorStop.MatchString)
	}
	if at < 0 {
		at = find(lines, func(l string) bool { return strong.MatchString(l) && !mild.MatchString(l) })
	}
	if at < 0 {
		at = find(lines, func(l string) bool { return weak.MatchString(l) && !mild.MatchString(l) })
	}
	if at < 0 && all {
		at = find(lines, func(string) bool { return true })
	}
	if at < 0 {
		return "", false
	}
	if at > 0 && weak.MatchString(lines[at-1]) && !mild.MatchString(lines[at-1]) {
		at--
	}
	return paragraph(lines, at), crashed
}

// stdoutWords finds the last paragraph of a program's output that begins as an error or a warning.
func stdoutWords(text string) string {
	lines := lines(text)
	for at := len(lines) - 1; at >= 0; at-- {
		if announced.MatchString(lines[at]) && !noise.MatchString(lines[at]) {
			return paragraph(lines, at)
		}
	}
	return ""
}

// find is the place of the first line that is no noise and for which ok holds, -1 for none.
func find(lines []string, ok func(string) bool) int {
	for i, l := range lines {
		if !noise.MatchString(l) && ok(l) {
			return i
		}
	}
	return -1
}

// paragraph is the line at a place and the few that follow it, up to a blank one or noise.
func paragraph(lines []string, at int) string {
	out := clipped(lines[at])
	for _, l := range lines[at+1 : min(at+1+wordsFurther, len(lines))] {
		if noise.MatchString(l) {
			break
		}
		if !strings.ContainsAny(out[len(out)-1:], ".:;,!?") {
			out += ";"
		}
		out += " " + clipped(l)
	}
	return out
}

func lines(text string) []string {
	out := strings.Split(text, "\n")
	for i, l := range out {
		out[i] = strings.TrimSpace(l)
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
	if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, wordsBytes))
	if info, err := f.Stat(); err == nil && info.Size() > 2*wordsBytes {
		_, _ = f.Seek(-wordsBytes, io.SeekEnd)
		data = append(data, "\n\n"...)
	}
	tail, _ := io.ReadAll(io.LimitReader(f, wordsBytes))
	data = bytes.ReplaceAll(append(data, tail...), []byte("\r"), []byte("\n"))
	return strings.ToValidUTF8(string(data), "?")
}
