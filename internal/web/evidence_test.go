package web

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/systeminfo"
	"github.com/chromedp/chromedp"

	"grimperium/internal/journal"
)

var evidence = flag.Bool("evidence", false, "measure what docs/evidence/report.md claims")

// TestEvidence prints the figures of docs/evidence/report.md.
func TestEvidence(t *testing.T) {
	if !*evidence {
		t.Skip("-evidence is not given")
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Skip(err)
	}
	figure("load of the machine at the start", "%s", strings.Fields(string(load))[0])
	p := newProject(t)
	p.measureWatchers()
	p.run("report")
	figure("size at 59 molecules, 50 drawings and their conformers", "%.2f MB",
		float64(len(p.read("report.html")))/1e6)
	p.measureReport("59 molecules", "report.html")
	for _, rows := range []int{10_000, 100_000} {
		d := made(rows)
		page := text(t, d)
		p.write("made.html", []byte(page))
		name := grouped(rows) + " rows"
		figure("size at "+name, "%.2f MB", float64(len(page))/1e6)
		p.measureReport(name, "made.html")
		if rows == 100_000 {
			p.grow(d)
		}
	}
	p.measureLive()
	start := time.Now()
	state := p.run("report", "-out=large.html")
	figure("mage report of these rows and this journal", "%.1f s of CPU, %.1f s", cpu(state),
		time.Since(start).Seconds())
	watch := testing.Benchmark(BenchmarkWatch)
	figure("three events written, read and pushed to ten pages", "%.2f ms",
		float64(watch.NsPerOp())/1e6)
}

// figure prints a line of the table.
func figure(claim, format string, values ...any) {
	fmt.Printf("| %s | %s |\n", claim, fmt.Sprintf(format, values...))
}

// cpu is the time of a process that has ended and of its children, in seconds.
func cpu(state *os.ProcessState) float64 {
	return (state.UserTime() + state.SystemTime()).Seconds()
}

// cpuNow is the time of a process so far, in seconds.
func (p *project) cpuNow(server *exec.Cmd) float64 {
	p.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", server.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	sum := 0
	for _, ticks := range strings.Fields(string(rest))[11:13] {
		n, err := strconv.Atoi(ticks)
		if err != nil {
			p.t.Fatal(err)
		}
		sum += n
	}
	return float64(sum) / 100 // hundredths of a second
}

// end ends a server.
func (p *project) end(server *exec.Cmd) *os.ProcessState {
	p.t.Helper()
	if err := server.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	_ = server.Wait()
	return server.ProcessState
}

// watch opens ten pages that watch a server.
func (p *project) watch(address string) {
	p.t.Helper()
	for range 10 {
		answer, err := http.Get(address + "/events")
		if err != nil {
			p.t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, answer.Body) }() // ends with the server
	}
}

// get gets a page of a server and returns how long that takes, in seconds.
func (p *project) get(address string) float64 {
	p.t.Helper()
	start := time.Now()
	answer, err := http.Get(address)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil ||
		answer.StatusCode != http.StatusOK {
		p.t.Fatal(answer.Status, err)
	}
	return time.Since(start).Seconds()
}

// measureWatchers measures a server with ten pages beside a batch.
func (p *project) measureWatchers() {
	address, server := p.serve()
	p.watch(address)
	batch := cpu(p.run("batch", "-permissive"))
	served := cpu(p.end(server))
	figure("CPU of mage serve with ten pages, beside a batch of 59 molecules",
		"%.2f s beside %.1f s, %.1f %%", served, batch, 100*served/batch)
}

// measureReport measures a report in a Chromium that has opened nothing else.
func (p *project) measureReport(name, file string) {
	p.t.Helper()
	b := open(p.t)
	var usable, work []float64
	for range 3 {
		before := b.work()
		usable = append(usable, b.openFile(filepath.Join(p.dir, file)).Seconds())
		sum := 0.0
		for id, seconds := range b.work() {
			sum += seconds - before[id]
		}
		work = append(work, sum)
	}
	figure("first usable view of "+name,
		"%.1f to %.1f s, with %.1f to %.1f s of CPU in all of Chromium",
		slices.Min(usable), slices.Max(usable), slices.Min(work), slices.Max(work))
	lap := `(() => { const t = performance.now(); %s; return performance.now() - t; })()`
	ms := func(code string) any { return b.value(fmt.Sprintf(lap, code)) }
	figure("filter, sort, draw the plot, point at a molecule, "+name, "%.0f, %.0f, %.0f, %.0f ms",
		ms(`grid.filter(parseFilter("c1cc |deviation|>4"))`),
		ms(`grid.filter(null); grid.sort(data.keys.deviation)`), ms(`plots[0].draw(plots[0].plot)`),
		ms(`plots[0].plot.setCursor({ left: 200, top: 200 })`))
	figure("drawing of a SMILES, the slowest of the first 1,000 of "+name, "%.0f ms",
		b.value(`Math.max(...Array.from({ length: Math.min(1000, data.rows) }, (_, row) => {
			const t = performance.now(); drawing(row); return performance.now() - t; }))`))
}

// work is the CPU time of each process of the browser, in seconds.
func (b *browser) work() map[int64]float64 {
	b.t.Helper()
	answer, err := chromedp.CallBrowser(b.ctx, systeminfo.GetProcessInfo, cdp.Empty{})
	if err != nil {
		b.t.Fatal(err)
	}
	work := map[int64]float64{}
	for _, p := range answer.ProcessInfo {
		work[p.ID] = p.CPUTime
	}
	return work
}

// grow makes the table one of the rows of d, and the journal that of a batch of 100,000 molecules.
func (p *project) grow(d *Data) {
	p.t.Helper()
	var table bytes.Buffer
	w := csv.NewWriter(&table)
	line := make([]string, len(d.Columns))
	for row := -1; row < len(d.Molecules); row++ {
		for k, c := range d.Columns {
			if line[k] = c.Name; row >= 0 {
				line[k] = c.Cells[row]
			}
		}
		if err := w.Write(line); err != nil {
			p.t.Fatal(err)
		}
	}
	w.Flush()
	p.write("data/thermo_pm7.csv", table.Bytes())
	lines := bytes.SplitAfter(p.read("artefacts/journal.jsonl"), []byte("\n"))
	many := slices.Clone(bytes.Replace(lines[0], []byte(`"total":59`), []byte(`"total":100000`), 1))
	for k := range 1660 {
		for _, line := range lines[1 : len(lines)-2] { // without the end of the batch
			id := fmt.Append(nil, `"mol":"m`, k)
			many = append(many, bytes.Replace(line, []byte(`"mol":"mol`), id, 1)...)
		}
	}
	if err := os.RemoveAll(filepath.Join(p.dir, "artefacts")); err != nil {
		p.t.Fatal(err)
	}
	p.write("artefacts/journal.jsonl", many)
}

// measureLive measures a server of a batch with 97,940 of 100,000 molecules done.
func (p *project) measureLive() {
	start := time.Now()
	address, server := p.serve()
	p.get(address + "/")
	page := time.Since(start).Seconds()
	p.get(address + "/api/v1/status")
	figure("live page at 97,940 of 100,000 molecules, from the start of the server",
		"%.1f s; its numbers %.1f s, %.2f s of CPU", page, time.Since(start).Seconds(),
		p.cpuNow(server))
	p.watch(address)
	before, from := p.cpuNow(server), time.Now()
	path := filepath.Join(p.dir, "artefacts/journal.jsonl")
	var last journal.Event
	if err := journal.OpenTail(path, 4096).Each(func(e journal.Event) { last = e }); err != nil {
		p.t.Fatal(err)
	}
	for range 1000 { // 300 events a second
		w := journal.Writer{Path: path, Batch: last.Batch}
		if err := w.Write(batchEvents[1:4]...); err != nil {
			p.t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	figure("CPU with ten pages and 300 events a second", "%.1f %% of a core",
		100*(p.cpuNow(server)-before)/time.Since(from).Seconds())
	first, again := p.get(address+"/metrics"), p.get(address+"/metrics")
	figure("first scrape of /metrics, and the next", "%.1f s; %.3f s", first, again)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ = strings.Cut(peak, "\n")
	figure("memory of the server, at most", "%s", strings.TrimSpace(peak))
	p.end(server)
}
