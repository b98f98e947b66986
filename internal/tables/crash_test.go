package tables

import (
	"bufio"
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"grimperium/csvmerge"
)

// victimVariable has the test program merge into the table that it names.
const victimVariable = "GRIMPERIUM_TABLES_VICTIM"

const merges = 4 // of a victim

// victim merges numbers that count up, each into three rows, and prints a number when it is merged.
// From the second number on it merges into a new column, too.
func victim(place string) {
	runtime.LockOSThread() // strace counts the calls of each thread
	table, err := Open(place, true)
	if err == nil {
		from, _ := table.Rows().Value(0, "reruns").(int64)
		for n := from + 1; n <= from+merges && err == nil; n++ {
			var changes []csvmerge.Change
			for _, id := range []string{"a", "b", "c"} {
				c := csvmerge.Change{ID: id, Cells: map[string]string{"reruns": fmt.Sprint(n),
					"status": "Rerun"}}
				if n > 1 {
					c.Cells["word"] = fmt.Sprintf("w%d", n)
				}
				changes = append(changes, c)
			}
			if _, _, err = table.Claim(3, []string{"a", "b", "c"}); err == nil {
				_, err = table.Merge(changes)
			}
			if err == nil {
				fmt.Println(n)
			}
		}
		err = errors.Join(err, table.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// calls are the system calls by which a victim changes files or speaks to a server.
const calls = "write,pwrite64,fsync,fdatasync,ftruncate,unlink,unlinkat,rename,renameat,renameat2"

// TestKilled ends a process that merges by SIGKILL at every system call that writes. What it said
// to be merged must be there, and each merge as a whole or not at all.
func TestKilled(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is needed")
	}
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			place := made(t, kind, head+"a,,C,0,x,1.50,,\nb,,C,0,,n/a,,\nc,,C,0,,,,\n")
			killed, last := 0, int64(0)
			for n := 1; ; n++ {
				said, ended := disturb(t, place, n)
				got := checkGroup(t, place)
				if got < max(last, said) || got > max(last, said)+1 && !ended {
					t.Fatalf("call %d: it said %d after %d, and the table has %d", n, said, last,
						got)
				}
				if last = got; ended {
					break
				}
				killed++
			}
			if killed < 5 {
				t.Errorf("killed %d times only", killed)
			}
			t.Logf("killed %d times, %d merges", killed, last)
		})
	}
}

// disturb has a victim killed at its n-th call. It returns the last number that the victim said.
func disturb(t *testing.T, place string, n int) (said int64, ended bool) {
	t.Helper()
	cmd := exec.Command("strace", "-f", "-qq", "-o", filepath.Join(t.TempDir(), "trace"), "-e",
		"trace="+calls, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", calls, n), os.Args[0])
	cmd.Env = append(os.Environ(), victimVariable+"="+place, "GOMAXPROCS=1")
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	err := cmd.Run()
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		_, _ = fmt.Sscan(lines.Text(), &said)
	}
	if cmd.ProcessState.ExitCode() == 1 {
		t.Fatalf("call %d: %v %s", n, err, words.String())
	}
	return said, err == nil
}

// checkGroup returns the number that the three rows have.
func checkGroup(t *testing.T, place string) int64 {
	t.Helper()
	if isSQLite(place) {
		d, verdict := sqliteFile(place), ""
		err := d.openSQLite(false)
		if err == nil {
			err = errors.Join(d.db.QueryRow("PRAGMA integrity_check").Scan(&verdict), d.db.Close())
		}
		if err != nil || verdict != "ok" {
			t.Fatal(verdict, err)
		}
	}
	if past := time.Now().Add(-time.Minute); strings.HasSuffix(place, ".csv") { // no young edit
		_ = os.Chtimes(place, past, past)
	}
	rows := opened(t, place, false).Rows()
	n, _ := rows.Value(0, "reruns").(int64)
	for i := range rows.Len() {
		word := rows.Texts(i, "word")[0]
		if m, _ := rows.Value(i, "reruns").(int64); m != n || n > 1 &&
			word != fmt.Sprintf("w%d", n) {
			t.Fatalf("torn: %s", content(t, rows))
		}
	}
	if text := content(t, rows); !strings.Contains(text, "C,0,x,1.50,") ||
		!strings.Contains(text, "C,0,,n/a,") {
		t.Fatalf("others' cells changed: %s", text)
	}
	return n
}

// TestReaderAtSQLite has another program read the file in a transaction. That blocks the start of a
// batch, which needs the file for itself, and nothing else: not merges, nor the next batch.
func TestReaderAtSQLite(t *testing.T) {
	place := made(t, "sqlite", head+"a,,C,0,,,,\n")
	other := sqliteFile(place)
	if err := other.openSQLite(false); err != nil {
		t.Fatal(err)
	}
	defer other.db.Close()
	reading := func() *sql.Tx {
		t.Helper()
		tx, err := other.db.Begin()
		if err == nil {
			err = tx.QueryRow(`SELECT count(*) FROM molecules`).Scan(new(int))
		}
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	tx := reading()
	begin := time.Now()
	_, err := Open(place, true)
	want := place + ": another program has a transaction open on the table, for example DB Browser " +
		"or a Python script; commit or close it there and run again"
	if err == nil || err.Error() != want || time.Since(begin) > 20*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		table, err := Open(place, true)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			tx = reading()
		}
		_, err = table.Merge([]csvmerge.Change{{ID: "a", Cells: map[string]string{
			"note": fmt.Sprint(n)}}})
		if err = errors.Join(err, table.Close()); err != nil {
			t.Errorf("merge %d: %v", n, err)
		}
	}
	table, err := Open(place, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, table.Rows()); got != head+"a,,C,0,1,,,\n" {
		t.Errorf("is %q", got)
	}
	if err := errors.Join(tx.Rollback(), other.db.Close(), table.Close()); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(place), "*")); len(left) != 1 {
		t.Errorf("at rest there are %q", left)
	}
}

// TestOthersAtSQLite has another program lock the file, and replace it.
func TestOthersAtSQLite(t *testing.T) {
	place := made(t, "sqlite", head+"a,,C,0,,,,\n")
	table := opened(t, place, true)
	merge := func(n int) error {
		_, err := table.Merge([]csvmerge.Change{{ID: "a", Cells: map[string]string{
			"note": fmt.Sprint(n)}}})
		return err
	}
	other := sqliteFile(place)
	if err := other.openSQLite(true); err != nil {
		t.Fatal(err)
	}
	tx, err := other.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, busy := errors.AsType[*csvmerge.BusyError](merge(1)); !busy {
		t.Error("written while another program writes")
	}
	if err := errors.Join(tx.Rollback(), other.db.Close(), merge(2)); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(place)
	err = errors.Join(err, os.Remove(place), os.WriteFile(place, data, 0o666))
	if err != nil {
		t.Fatal(err)
	}
	if err := merge(3); err == nil || !strings.Contains(err.Error(),
		"removed, emptied or replaced while the batch ran") {
		t.Error(err)
	}
}
