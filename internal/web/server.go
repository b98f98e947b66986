package web

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"grimperium/internal/command"
	"grimperium/internal/packed"
)

// Live serves the report and the live page of a batch. It only reads. Serve ends with its context.
type Live struct {
	Journal   string // path
	Artefacts string // folder
	Token     string // that every request must have; "" for none
	// OwnTable says whether a table that the journal names is the one of this report. nil: all are.
	OwnTable func(table string) bool
	// Report gathers the report from the table and the results.
	Report func(ctx context.Context) (*Data, error)
	// Detail is what is known of a molecule, or ErrNoMolecule.
	Detail func(ctx context.Context, id string) (*Detail, error)

	watch   *watcher
	metrics *metrics

	mu   sync.Mutex // of last
	last *gathered
}

// reportAge is how old a report may be that is shown again: a batch merges rows all the time.
const reportAge = 15 * time.Second

// Serve answers requests until the context ends.
func (l *Live) Serve(ctx context.Context, listener net.Listener) (err error) {
	l.watch = newWatcher(l.Journal, l.OwnTable)
	l.metrics = newMetrics(l.Journal, l.OwnTable, l.watch.now)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	server := &http.Server{Handler: l.handler(), ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, WriteTimeout: 10 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan error, 2)
	go func() { ended <- l.watch.follow(ctx) }()
	go func() { ended <- server.Serve(listener) }()
	err = <-ended
	stop()
	return errors.Join(err, server.Close())
}

// routes are the answers by the patterns of their paths.
func (l *Live) routes() map[string]http.Handler {
	return map[string]http.Handler{
		"/{$}":     asset("text/html; charset=utf-8", "live.html"),
		"/live.js": asset("text/javascript; charset=utf-8", "live/live.js"),
		"/molecule.js": asset("text/javascript; charset=utf-8",
			slices.Concat(spaceScripts, []string{"js/space.js", "live/molecule.js"})...),
		"/page.css":                 asset("text/css; charset=utf-8", "page.css"),
		"/report":                   http.HandlerFunc(l.page),
		"/molecule/{id}":            http.HandlerFunc(l.molecule),
		"/events":                   http.HandlerFunc(l.events),
		"/metrics":                  l.metrics,
		"/api/v1/status":            http.HandlerFunc(l.status),
		"/api/v1/batch/{id}/status": http.HandlerFunc(l.status),
		"/api/v1/molecules":         http.HandlerFunc(l.molecules),
		"/api/v1/molecules/{id}":    http.HandlerFunc(l.detail),
		"/api/v1/openapi.json":      asset("application/json", "live/openapi.json"),
		"/artefacts/":               http.StripPrefix("/artefacts/", http.HandlerFunc(l.file)),
	}
}

// handler answers requests that only read.
func (l *Live) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, handler := range l.routes() {
		mux.Handle("GET "+pattern, handler)
	}
	return l.guard(mux)
}

// guard refuses what is not for this server, and sets the headers of every answer. The host of a
// request must be the server's own: else a page elsewhere could give its name to this address.
func (l *Live) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "+
				"img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if l.Token == "" && !loopback(r.Host) {
			http.Error(w, "This server answers as localhost and 127.0.0.1 only.",
				http.StatusMisdirectedRequest)
			return
		}
		if l.Token != "" && !l.admits(w, r) {
			http.Error(w, "Open the address with its token, as "+command.Name+" serve printed it.",
				http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// loopback says whether a host, perhaps with a port, is this machine.
func loopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// admits says whether a request has the token: in its address, in a cookie, or as a bearer. The
// address gives the browser the cookie. Cookies know no ports, so that its name has the port: two
// servers of a host have two.
func (l *Live) admits(w http.ResponseWriter, r *http.Request) bool {
	same := func(text string) bool {
		return subtle.ConstantTimeCompare([]byte(text), []byte(l.Token)) == 1
	}
	_, port, _ := net.SplitHostPort(r.Host) // "" where there is none
	name := "grimperium" + port
	if same(r.URL.Query().Get("token")) {
		http.SetCookie(w, &http.Cookie{Name: name, Value: l.Token, Path: "/", HttpOnly: true,
			SameSite: http.SameSiteStrictMode})
		return true
	}
	if cookie, err := r.Cookie(name); err == nil && same(cookie.Value) {
		return true
	}
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && same(bearer)
}

// asset answers with some of our files, one after another.
func asset(kind string, names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := joined(names)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, text)
	}
}

// file answers with a file or a folder of the artefacts as text, never as a page that may run
// something. The folder is not there before the first batch.
func (l *Live) file(w http.ResponseWriter, r *http.Request) {
	root, err := os.OpenRoot(l.Artefacts)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer root.Close()
	w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'")
	name := strings.TrimSuffix(r.URL.Path, packed.Suffix)
	info, err := root.Stat(cmp.Or(name, "."))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.stored(w, r, root, name)
	case err == nil && info.IsDir():
		http.FileServerFS(folders{root.FS()}).ServeHTTP(w, r)
	case err == nil && info.Mode().IsRegular():
		f, err := root.Open(name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer f.Close()
		w.Header().Set("Content-Type", plainText)
		http.ServeContent(w, r, "", info.ModTime(), f)
	default: // a link that leaves the artefacts, a pipe
		http.NotFound(w, r)
	}
}

const plainText = "text/plain; charset=utf-8"

// folders is a file system in which no index.html hides the list of a folder.
type folders struct{ fs.FS }

func (f folders) Open(name string) (fs.File, error) {
	if path.Base(name) == "index.html" {
		return nil, fs.ErrNotExist
	}
	return f.FS.Open(name)
}

// stored answers with a file that is stored compressed or in the zip of its molecule. It is
// unpacked on its way.
func (l *Live) stored(w http.ResponseWriter, r *http.Request, root *os.Root, name string) {
	regular := func(name string) bool { // nothing outside of the folder
		info, err := root.Lstat(name)
		return err == nil && info.Mode().IsRegular()
	}
	mol, inside, _ := strings.Cut(name, "/")
	zip := mol + packed.ZipSuffix
	switch {
	case regular(zip) && (inside == "" || strings.HasSuffix(inside, "/")):
		l.zipped(w, r, zip, inside)
		return
	case !regular(name+packed.Suffix) && !(regular(zip) && fs.ValidPath(inside)):
		http.NotFound(w, r)
		return
	}
	text, err := packed.Open(filepath.Join(l.Artefacts, name), math.MaxInt64)
	if errors.Is(err, fs.ErrNotExist) {
		http.NotFound(w, r)
		return
	}
	n := int64(0)
	if err == nil {
		defer text.Close()
		w.Header().Set("Content-Type", plainText)
		n, err = io.Copy(w, text)
	}
	switch {
	case err != nil && n > 0: // a part must not look like the whole
		panic(http.ErrAbortHandler)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// zipped answers with the list of a folder of a molecule that is one file.
func (l *Live) zipped(w http.ResponseWriter, r *http.Request, zip, dir string) {
	if !strings.Contains(r.URL.Path, "/") {
		http.Redirect(w, r, "./"+url.PathEscape(r.URL.Path)+"/", http.StatusFound)
		return
	}
	z, err := packed.OpenZip(filepath.Join(l.Artefacts, zip))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer z.Close()
	r.URL.Path = "/" + dir
	http.FileServerFS(folders{z}).ServeHTTP(w, r)
}

// gathered is a report with its page, which is written when somebody asks for it.
type gathered struct {
	made time.Time
	data *Data
	page func() ([]byte, error)
}

// report returns the report, gathered again if it is old.
func (l *Live) report(ctx context.Context) (*gathered, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != nil && time.Since(l.last.made) < reportAge {
		return l.last, nil
	}
	l.last = nil // a table of 100,000 rows takes 200 MB
	d, err := l.Report(ctx)
	if err != nil {
		return nil, err
	}
	l.last = &gathered{time.Now(), d, sync.OnceValues(func() ([]byte, error) {
		var b bytes.Buffer
		err := WritePage(&b, d, Compute(d))
		return b.Bytes(), err
	})}
	return l.last, nil
}

// page answers with the report. Its own policy allows its script and its style by their hash.
func (l *Live) page(w http.ResponseWriter, r *http.Request) {
	var text []byte
	report, err := l.report(r.Context())
	if err == nil {
		text, err = report.page()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(text)
}

// answer answers with JSON.
func answer(w http.ResponseWriter, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

func (l *Live) status(w http.ResponseWriter, r *http.Request) {
	s := l.watch.now()
	if id := r.PathValue("id"); id != "" && id != s.Batch {
		http.Error(w, "That batch is not the last one.", http.StatusNotFound)
		return
	}
	answer(w, s)
}

// Listed is a molecule in the list of all. Numbers that are not known are null.
type Listed struct {
	ID        string   `json:"mol_id"`
	SMILES    string   `json:"smiles"`
	Status    string   `json:"status"`
	Reference *float64 `json:"reference"`
	Result    *float64 `json:"result"`
	Deviation *float64 `json:"deviation"`
}

// Molecules is a part of the list of all.
type Molecules struct {
	Total     int      `json:"total"`
	Offset    int      `json:"offset"`
	Molecules []Listed `json:"molecules"`
}

// molecules answers with the rows from offset, at most limit.
func (l *Live) molecules(w http.ResponseWriter, r *http.Request) {
	report, err := l.report(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	all := report.data.Molecules
	limit, offset := 1000, 0
	for name, into := range map[string]*int{"limit": &limit, "offset": &offset} {
		if text := r.URL.Query().Get(name); text != "" {
			if *into, err = strconv.Atoi(text); err != nil || *into < 0 {
				http.Error(w, name+" is a number from 0", http.StatusBadRequest)
				return
			}
		}
	}
	known := func(v float64) *float64 {
		if math.IsNaN(v) {
			return nil
		}
		return &v
	}
	offset = min(offset, len(all))
	list := []Listed{}
	for _, m := range all[offset:min(len(all), offset+min(limit, 100_000))] {
		list = append(list, Listed{m.ID, m.SMILES, m.Status, known(m.Reference), known(m.Result),
			known(m.Deviation())})
	}
	answer(w, Molecules{len(all), offset, list})
}

// events pushes the status, then of each new status the fields that differ, and a comment now and
// then that keeps the connection open.
func (l *Live) events(w http.ResponseWriter, r *http.Request) {
	c, end, err := l.watch.listen()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer end()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	var sent fields
	for {
		text := ": alive\n\n"
		select {
		case <-r.Context().Done():
			return
		case status := <-c:
			news, err := json.Marshal(status.since(sent))
			if err != nil {
				return
			}
			sent, text = status, fmt.Sprintf("data: %s\n\n", news)
		case <-alive.C:
		}
		_ = out.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := w.Write([]byte(text)); err != nil || out.Flush() != nil {
			return
		}
	}
}
