package web

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var pictures = flag.String("pictures", "", "write pictures of all pages here, and docs/*.png")

// project is a folder with the shipped pipeline and molecules, for the real program.
type project struct {
	t            *testing.T
	dir, program string
}

// newProject compiles the program. The table has two more rows, which fail.
func newProject(t *testing.T) *project {
	t.Helper()
	p := &project{t, t.TempDir(), filepath.Join(t.TempDir(), "grimperium")}
	compile := exec.Command("go", "tool", "mage", "-compile", p.program)
	compile.Dir = "../.."
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.CopyFS(filepath.Join(p.dir, "stages"), os.DirFS("../../stages")); err != nil {
		t.Fatal(err)
	}
	pipeline, err := os.ReadFile("../../pipeline.hcl")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("../../testdata/molecules.csv")
	if err != nil {
		t.Fatal(err)
	}
	head, rows, _ := bytes.Cut(table, []byte("\n"))
	p.write("pipeline.hcl", pipeline)
	p.write("data/thermo_pm7.csv", fmt.Appendf(nil, "%s\n%s%s", head,
		"mol_00058,Pending,0,C1CC,1,0,3,2026-11-23T00:00:00+00:00,10.0,\n"+
			"mol_00059,Pending,0,[Pu],1,0,1,2026-11-23T00:00:00+00:00,10.0,\n", rows))
	return p
}

func (p *project) write(name string, text []byte) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) read(name string) []byte {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// run runs the program. Failed molecules, exit code 1, are no failure of the test.
func (p *project) run(args ...string) *os.ProcessState {
	p.t.Helper()
	cmd := exec.Command(p.program, args...)
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil &&
		(!errors.As(err, &exit) || exit.ExitCode() != 1) {
		p.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return cmd.ProcessState
}

// serve starts the program's server, until the test ends, and returns its address.
func (p *project) serve() (address string, server *exec.Cmd) {
	p.t.Helper()
	server = exec.Command(p.program, "serve", "-addr=127.0.0.1:0")
	server.Dir = p.dir
	says, err := server.StderrPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	line := make([]byte, 200)
	n, err := says.Read(line)
	if err != nil {
		p.t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, says) }()
	words := strings.Fields(string(line[:n])) // Open ADDRESS (Ctrl-C ends it)
	if len(words) < 2 {
		p.t.Fatalf("%s", line)
	}
	return strings.TrimSuffix(words[1], "/"), server
}

// running starts a live page of the project's batch in its middle: this process has its number.
func (p *project) running() (address string) {
	p.t.Helper()
	lines := bytes.SplitAfter(p.read("artefacts/journal.jsonl"), []byte("\n"))
	lines = lines[:len(lines)*3/5]
	_, rest, _ := bytes.Cut(lines[0], []byte(`"pid":`))
	pid, _, _ := bytes.Cut(rest, []byte(","))
	lines[0] = bytes.Replace(lines[0], pid, fmt.Append(nil, os.Getpid()), 1)
	p.write("middle.jsonl", bytes.Join(lines, nil))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	live := &Live{Journal: filepath.Join(p.dir, "middle.jsonl"), Artefacts: p.dir}
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- live.Serve(ctx, listener) }()
	p.t.Cleanup(func() { cancel(); <-done })
	return "http://" + listener.Addr().String()
}

// TestPictures computes the shipped molecules. It writes pictures of the report, of the live page
// and of a molecule's page, light and dark, at 1400, 800 and 400 pixels. It also writes the
// pictures of docs/.
func TestPictures(t *testing.T) {
	if *pictures == "" {
		t.Skip("-pictures names no folder")
	}
	p := newProject(t)
	p.run("batch", "-permissive")
	p.run("report")
	served, _ := p.serve()
	pages := map[string]string{"report": "file://" + p.dir + "/report.html",
		"live": p.running(), "molecule": served + "/molecule/mol_00053"}
	b := open(t)
	for _, scheme := range []string{"dark", "light"} {
		media := emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
			t.Fatal(err)
		}
		for name, address := range pages {
			b.do(chromedp.Navigate(address))
			for _, width := range []int64{1400, 800, 400} {
				b.do(chromedp.EmulateViewport(width, 900), chromedp.Sleep(time.Second))
				b.picture(fmt.Sprintf("%s/%s-%s-%d.png", *pictures, name, scheme, width),
					chromedp.FullScreenshot(100))
			}
		}
	}
	b.do(chromedp.EmulateViewport(1000, 640), chromedp.Navigate(pages["live"]),
		chromedp.Sleep(time.Second))
	b.picture("../../docs/live.png", chromedp.CaptureScreenshot())
	b.openFile(filepath.Join(p.dir, "report.html"))
	b.value(`openMolecule(Object.keys(data.geometry).find(r => data.geometry[r].length > 1))`)
	b.do(chromedp.Sleep(time.Second))
	b.picture(*pictures+"/dialog.png", chromedp.CaptureScreenshot())
	b.value(`document.getElementById("molecule").close()`)
	phenyl, _ := b.value(`plots[0].rows.find(row =>
		show(data.keys.smiles, row) === "[c]1ccccc1")`).(float64)
	b.do(chromedp.EmulateViewport(1000, 780), chromedp.Sleep(time.Second))
	b.pointAt(int(phenyl))
	b.picture("../../docs/report.png", chromedp.CaptureScreenshot())
}

// TestPicturesTerminal writes the picture of the terminal, of a screen that the walk has kept.
func TestPicturesTerminal(t *testing.T) {
	if *pictures == "" {
		t.Skip("-pictures names no folder")
	}
	screen, err := os.ReadFile("../../docs/evidence/walk/03-first-end.txt")
	if err != nil {
		t.Fatal(err)
	}
	page := `<body style="background: #1b1f24; color: #e6e6e6; margin: 14px 18px"><pre>` +
		html.EscapeString(strings.TrimSpace(string(screen)))
	b := open(t)
	b.do(chromedp.EmulateViewport(660, 510),
		chromedp.Navigate("data:text/html;charset=utf-8,"+url.PathEscape(page)),
		chromedp.Sleep(time.Second))
	b.picture("../../docs/terminal.png", chromedp.CaptureScreenshot())
}

// picture writes a picture of the page.
func (b *browser) picture(path string, take chromedp.Action[[]byte]) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, take)
	if err == nil {
		err = os.WriteFile(path, png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
