package web

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browser is one Chromium for a test. It notes requests that leave the page, and errors of scripts.
type browser struct {
	t   *testing.T
	ctx context.Context

	local string // the server of the test, "" for none

	mu       sync.Mutex
	problems []string
}

// open starts Chromium, or skips the test where there is none.
func open(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("Chromium is not installed: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1400, 900),
		chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.see); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// see notes what a page must not do.
func (b *browser) see(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		address := e.Request.URL
		if !strings.HasPrefix(address, "file://") && !strings.HasPrefix(address, "data:") &&
			!strings.HasPrefix(address, "blob:") &&
			(b.local == "" || !strings.HasPrefix(address, b.local+"/")) {
			b.problems = append(b.problems, "request of "+address)
		}
	case *log.EventEntryAdded:
		if e.Entry.Source == log.EntrySourceSecurity {
			b.problems = append(b.problems, e.Entry.Text)
		}
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, fmt.Sprintf("%+v", *e.ExceptionDetails))
	}
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// value evaluates an expression.
func (b *browser) value(expression string) any {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](expression))
	if err != nil {
		b.t.Fatal(expression, err)
	}
	return v
}

// show writes a report and opens it. usable is the time from the navigation to the first usable
// view.
func (b *browser) show(d *Data) (usable time.Duration) {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(text(b.t, d)), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return b.openFile(path)
}

// openFile opens a report.
func (b *browser) openFile(path string) (usable time.Duration) {
	b.t.Helper()
	address := url.URL{Scheme: "file", Path: path}
	b.do(chromedp.Navigate(address.String()), chromedp.WaitReady(chromedp.CSS("html[data-usable]")))
	ms, _ := b.value(`performance.getEntriesByName("usable")[0].startTime`).(float64)
	return time.Duration(ms * float64(time.Millisecond))
}

// is asserts the value of an expression.
func (b *browser) is(expression, want string) {
	b.t.Helper()
	got := b.value(expression)
	if fmt.Sprint(got) != want {
		b.t.Errorf("%s is %q, want %q", expression, fmt.Sprint(got), want)
	}
}

// becomes waits until an expression has a value.
func (b *browser) becomes(expression, want string) {
	b.t.Helper()
	var got any
	for range 300 {
		if got = b.value(expression); fmt.Sprint(got) == want {
			return
		}
		time.Sleep(30 * time.Millisecond)
	}
	b.t.Errorf("%s is %q, want %q", expression, fmt.Sprint(got), want)
}

// quiet asserts that nothing was requested and no script failed.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Error(p)
	}
}

// firstCell is the text of a cell of the first row in the table.
func firstCell(column int) string {
	return fmt.Sprintf(`document.querySelector("#grid tr[data-row]").cells[%d].textContent`, column)
}

const setFilter = `(() => { const f = document.getElementById("filter"); f.value = %q;
	f.dispatchEvent(new Event("input")); })()`

func TestBrowser(t *testing.T) {
	b := open(t)
	d := made(500)
	for i, smiles := range []string{"CC(=O)Oc1ccccc1C(=O)O", "C[CH]C", "c1c[nH]cn1",
		"C1CCCCC1"} {
		row := 5 + i // far from the others in the plot
		d.Molecules[row].SMILES, d.Columns[3].Cells[row] = smiles, smiles
		d.Columns[8].Cells[row], d.Columns[20].Cells[row] = fmt.Sprint(400+20*i), fmt.Sprint(400+
			20*i)
	}
	b.show(d)
	b.is(`document.getElementById("shown").textContent`, "500 of 500 molecules")
	b.is(firstCell(0), "mol_000001")
	b.becomes(`document.querySelectorAll(".cards img").length > 40`, "true") // RDKit drew none

	b.value(fmt.Sprintf(setFilter, "status=skip"))
	b.becomes(`document.getElementById("shown").textContent`, "6 of 500 molecules")
	b.value(fmt.Sprintf(setFilter, "|deviation|>6 charge=1"))
	b.becomes(
		`data.keys.deviation.get(document.querySelector("#grid tr[data-row]").dataset.row) > 6`,
		"true")
	b.value(fmt.Sprintf(setFilter, "C1CCCCC1"))
	b.becomes(`document.getElementById("shown").textContent`, "1 of 500 molecules")
	b.value(fmt.Sprintf(setFilter, "charge>x"))
	b.becomes(`document.getElementById("shown").textContent`, "Write a number behind >.")
	b.value(fmt.Sprintf(setFilter, ""))
	b.becomes(`document.getElementById("shown").textContent`, "500 of 500 molecules")

	click := `[...document.querySelectorAll("#grid thead button")]
		.find(b => b.textContent === "deviation kcal/mol").click()`
	b.value(click)
	b.value(click)
	largest := `Math.max(...Array.from({ length: 500 },
		(_, i) => data.keys.deviation.get(i) ?? -1e9)) ===
		Number(document.querySelector("#grid tr[data-row]").cells[5].textContent)`
	b.is(largest, "true")
	b.is(`csv([0]).split("\n")[1].split(",")[0]`, "mol_000001")
	b.is(`(() => { const g = document.getElementById("grid"); g.scrollTop = 1e6; return 1; })()`,
		"1")
	b.becomes(
		`[...document.querySelectorAll("#grid tr[data-row]")].pop().getAttribute("aria-rowindex")`,
		"501")

	for row, note := range map[int]string{5: "0", 6: "1", 7: "0"} { // no outlier
		b.pointAt(row)
		b.is(`plots[0].near`, fmt.Sprint(row))
		b.is(`document.getElementById("tip").hidden`, "false")
		b.becomes(`document.querySelector("#tip img").naturalWidth`, "190")
		b.is(`[...document.querySelectorAll("#tip p")]
			.filter(p => /unpaired/.test(p.textContent)).length`, note)
	}
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 1, 1))
	b.becomes(`document.getElementById("tip").hidden`, "true")
	x, y := b.pointAt(6)
	b.do(chromedp.MouseClickXY(x, y))
	b.is(`document.getElementById("molecule-name").textContent`, "mol_000007")
	b.do(chromedp.KeyEvent("\u001b")) // Escape
	b.is(`document.querySelectorAll("dialog[open]").length`, "0")
	b.quiet()
}

// TestBrowserFilter compares what filters find with what they mean.
func TestBrowserFilter(t *testing.T) {
	b := open(t)
	d := made(50)
	d.Columns[3].Cells[0], d.Columns[3].Cells[1] = "c1ccccc1", "C1CCCCC1"
	d.Columns[5].Cells[2] = "-1"
	b.show(d)
	b.value(`for (const name of ["log-P", "T(K)", "a/b", "log P"]) {
		byName.set(name, { ...byName.get("nheavy"), name });
	}`)
	for filter, test := range map[string]string{
		"smiles=c1ccccc1": `data.keys.smiles.get(row) === "c1ccccc1"`,
		"smiles=C1CCCCC1": `data.keys.smiles.get(row) === "C1CCCCC1"`,
		"log-P>9":         `byName.get("nheavy").get(row) > 9`,
		"T(K)<=9":         `byName.get("nheavy").get(row) <= 9`,
		"a/b!=9":          `byName.get("nheavy").get(row) !== 9`,
		`"log P"=9`:       `byName.get("nheavy").get(row) === 9`,
		"|charge|=1":      `Math.abs(byName.get("charge").get(row)) === 1`,
		"status!=ok":      `data.keys.status.get(row) !== "OK"`,
	} {
		b.is(fmt.Sprintf(`(test => grid.all.every(row => test(row) === (%s)))(parseFilter(%q))`,
			test, filter), "true")
	}
	b.is(`(() => { try { parseFilter("log-Q>3") } catch (e) { return e.message } })()`,
		"The table has no column log-Q.")
	b.quiet()
}

// pointAt moves the pointer to a molecule of the plot. It returns the place in the window.
func (b *browser) pointAt(row int) (x, y float64) {
	b.t.Helper()
	place, ok := b.value(fmt.Sprintf(`(() => { const s = plots[0], u = s.plot, k = s.rows.indexOf(%d);
		s.box.scrollIntoView({ behavior: "instant", block: "nearest" });
		const frame = u.over.getBoundingClientRect();
		return [frame.left + u.valToPos(u.data[0][k], "x"),
			frame.top + u.valToPos(u.data[1][k], "y")]; })()`, row)).([]any)
	if !ok || len(place) != 2 {
		b.t.Fatal(place)
	}
	x, _ = place[0].(float64)
	y, _ = place[1].(float64)
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y))
	return x, y
}

// TestBrowserPlot zooms into the plot, and goes from point to point by the keyboard.
func TestBrowserPlot(t *testing.T) {
	b := open(t)
	b.show(made(500))
	whole := `JSON.stringify([plots[0].plot.scales.x.min, plots[0].plot.scales.y.max]) ===
		JSON.stringify([plots[0].range.min, plots[0].range.max])`
	b.is(whole, "true")
	x, y := b.pointAt(0)
	drag := func(kind input.DispatchMouseEventType, dx, dy float64) {
		t.Helper()
		b.do(chromedp.MouseEvent(kind, x+dx, y+dy, chromedp.ButtonLeft))
	}
	drag(input.DispatchMouseEventTypeMousePressed, -60, -60)
	drag(input.DispatchMouseEventTypeMouseMoved, 0, 0)
	drag(input.DispatchMouseEventTypeMouseMoved, 60, 60)
	drag(input.DispatchMouseEventTypeMouseReleased, 60, 60)
	b.becomes(whole, "false")
	b.is(`document.querySelectorAll("dialog[open]").length`, "0") // a drag is no click
	b.pointAt(0)
	b.is(`plots[0].near`, "0")
	b.value(`plots[0].box.focus()`)
	b.do(chromedp.KeyEvent("\u001b"))
	b.becomes(whole, "true")
	b.do(chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowRight))
	b.is(`plots[0].near === plots[0].rows[1]`, "true")
	b.value(`window.second = show(data.keys.id, plots[0].rows[1])`)
	b.is(`document.getElementById("tip").textContent.includes(second)`, "true")
	b.do(chromedp.KeyEvent("\r"))
	b.is(`document.getElementById("molecule-name").textContent === second`, "true")
	b.quiet()
}

// TestBrowserRows opens tables with odd rows: none at all, and one of which no result counts.
func TestBrowserRows(t *testing.T) {
	b := open(t)
	none := made(0)
	b.show(none)
	b.is(`document.getElementById("shown").textContent`, "0 of 0 molecules")
	d := made(3)
	d.Molecules[1].Status, d.Columns[1].Cells[1] = "Skip", "Skip" // the result stays in the table
	d.Molecules[1].Result = math.NaN()
	b.show(d)
	b.is(`plots[0].rows.length`, "2")
	b.is(`[0, 1, 2].map(row => data.keys.deviation.get(row) === null).join()`, "false,true,false")
	b.is(`openMolecule(0), [...document.querySelectorAll("dialog td")].filter(
		e => e.textContent.endsWith(" kcal/mol")).length`, "3")
	b.quiet()
}

// TestBrowserKeyboard goes down the table by the tabulator. Rows come into view meanwhile.
func TestBrowserKeyboard(t *testing.T) {
	b := open(t)
	b.show(made(500))
	b.value(`document.querySelector("#grid tbody button").focus()`)
	for range 60 {
		b.do(chromedp.KeyEvent("\t"))
	}
	b.is(`document.activeElement.textContent`, "mol_000061")
	b.do(chromedp.KeyEvent("\r"))
	b.is(`document.getElementById("molecule-name").textContent`, "mol_000061")
	b.quiet()
}

// TestBrowserSpace looks at conformers in space, and turns and hides them.
func TestBrowserSpace(t *testing.T) {
	b := open(t)
	d := made(5)
	bonds := [][2]int{{0, 1}, {0, 2}}
	d.Molecules[0].Geometries = []Geometry{
		{[]string{"O", "H", "H"}, []float64{0, 0, 0, 1, 0, 0, 0, 1, 0}, bonds, -1, 1},
		{[]string{"O", "H", "H"}, []float64{0, 0, 0, 0, 1.3, 0, 0, 0, 1}, bonds, 0, 7}}
	b.show(d)
	b.value(`HTMLCanvasElement.prototype.getContext = () => null;
		OffscreenCanvas.prototype.getContext = () => null; openMolecule(0)`)
	b.is(`/no WebGL/.test(document.querySelector(".space-view").textContent)`, "true")
	b.show(d)
	b.value(`openMolecule(0)`)
	b.is(`document.querySelectorAll("dialog[open] canvas").length`, "1")
	b.is(`document.querySelector("#molecule a").getAttribute("href")`, "./artefacts/mol_000001/")
	b.is(`[...document.querySelectorAll("#molecule .legend")].map(l => l.textContent).join()`,
		"conformer 1: +0.00 kcal/mol"+"conformer 7: +1.00 kcal/mol")
	b.value(`window.picture = () => document.querySelector("#molecule canvas").toDataURL();
		window.before = picture()`)
	changed := func(step string) {
		t.Helper()
		b.becomes(`picture() !== before`, "true")
		b.value(`window.before = picture()`)
		if t.Failed() {
			t.Fatal(step)
		}
	}
	b.value(`document.querySelector(".space-view").focus()`)
	b.do(chromedp.KeyEvent(kb.ArrowRight))
	changed("turn")
	b.do(chromedp.KeyEvent("+"))
	changed("zoom")
	b.do(chromedp.Click(chromedp.CSS("#molecule .legend input")))
	changed("hide")
	b.quiet()
}

// TestBrowserLayout looks for what is wider than the page, and at the printed page.
func TestBrowserLayout(t *testing.T) {
	b := open(t)
	d := made(60)
	long := strings.Repeat("x", 400)
	d.Failures = []Failure{{"pm7", long, 3, []string{long}, []string{"mage why " + long[:60]}}}
	for i := range d.Molecules {
		d.Molecules[i].ID = fmt.Sprintf("%.56s_%03d", long, i)
	}
	d.Columns = append(d.Columns, Column{Name: long[:55], Cells: d.Columns[0].Cells})
	b.show(d)
	b.is(
		`document.querySelector(".words").offsetWidth <= document.getElementById("failures").offsetWidth`, "true")
	for _, width := range []int64{1400, 800, 400} {
		b.do(chromedp.EmulateViewport(width, 900), chromedp.Sleep(100*time.Millisecond))
		b.is(`document.documentElement.scrollWidth <= innerWidth`, "true")
	}
	b.is(`document.querySelector("nav a[href='#cost']").click(),
		document.querySelector("nav").getBoundingClientRect().height < 50`, "true")
	b.becomes(`(() => { const top = e => document.querySelector(e).getBoundingClientRect().top;
		return top("#cost h2") > 30 && top("#cost h2") < 60; })()`, "true")
	b.value(`openMolecule(0)`)
	b.is(`(d => [...d.querySelectorAll("td")].every(
		e => e.getBoundingClientRect().right <= d.getBoundingClientRect().right))(
		document.querySelector("dialog"))`, "true")
	b.value(`document.querySelector("dialog").close()`)
	media := emulation.SetEmulatedMediaParams{Media: "print"}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
	b.becomes(`plots[0].plot.width === plots[0].box.clientWidth &&
		plots[0].plot.height === 300`, "true")
	for part, display := range map[string]string{"nav": "none", ".screen": "none",
		".print": "block"} {
		b.is(fmt.Sprintf(`getComputedStyle(document.querySelector(%q)).display`, part), display)
	}
	b.quiet()
}

// TestBrowserHostile opens a report in which every text is hostile: nothing of it runs.
func TestBrowserHostile(t *testing.T) {
	b := open(t)
	b.show(evil())
	b.value(`for (let i = 0; i < data.rows; i++) openMolecule(i)`)
	b.value(fmt.Sprintf(setFilter, `<script> ( [ \ "`))
	b.do(chromedp.Sleep(300 * time.Millisecond))
	b.is(`document.title`, "Report: "+hostile[0])
	b.is(`document.scripts.length`, "2")
	b.is(`document.querySelectorAll("img[onerror], svg[onload], b b").length`, "0")
	b.quiet()
}

// TestBrowserLarge measures how soon the report of 100,000 molecules can be used.
func TestBrowserLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 100,000 rows")
	}
	b := open(t)
	usable := b.show(made(100_000))
	filter := b.value(`(() => { const t = performance.now();
		grid.filter(parseFilter("c1cc |deviation|>4")); return Math.round(performance.now() - t); })()`)
	sort := b.value(`(() => { grid.filter(null); const t = performance.now();
		grid.sort(data.keys.deviation); return Math.round(performance.now() - t); })()`)
	t.Logf("usable after %v, a filter takes %v ms, a sort %v ms", usable, filter, sort)
	if usable > 10*time.Second { // 2 s on a machine that does nothing else
		t.Errorf("usable after %v", usable)
	}
	b.quiet()
}
