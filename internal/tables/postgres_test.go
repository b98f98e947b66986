package tables

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
)

// numbered is a table of so many rows.
func numbered(t *testing.T, rows int) (place string, ids []string) {
	t.Helper()
	text := head
	for n := range rows {
		ids = append(ids, fmt.Sprintf("m%03d", n))
		text += ids[n] + ",,C,0,,,,\n"
	}
	return made(t, "postgres", text), ids
}

// claims asserts which rows a batch gets, and how many were looked at: "m000 m001 of 3".
func claims(t *testing.T, table batch.Table, n int, ids []string, want string) {
	t.Helper()
	ids, asked, err := table.Claim(n, ids)
	if got := fmt.Sprintf("%s of %d", strings.Join(ids, " "), asked); got != want || err != nil {
		t.Fatalf("claimed %q, %v; want %q", got, err, want)
	}
}

// until waits for something that comes by itself.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 600 {
		if done() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("not after a minute: " + what)
}

func TestClaim(t *testing.T) {
	place, ids := numbered(t, 9)
	a, b, c := opened(t, place, true), opened(t, place, true), opened(t, place, true)
	claims(t, a, 3, ids, "m000 m001 m002 of 3")
	claims(t, a, 1, ids, "m000 of 1") // its own again
	claims(t, b, 3, ids[1:], "m003 m004 m005 of 5")
	claims(t, c, 9, ids[:4], " of 4")

	merge := func(table batch.Table, id, batch string, hold bool) map[string]bool {
		t.Helper()
		changed, err := table.Merge([]csvmerge.Change{{ID: id, Hold: hold, Origin: "key " + batch,
			Cells: map[string]string{"status": "OK", "batch_id": batch}}})
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	merge(a, "m000", "A", false)
	merge(a, "m001", "A", true)
	claims(t, b, 2, ids[:3], " of 3") // computed since, held, and claimed
	fresh := opened(t, place, true)
	claims(t, fresh, 9, ids[:3], "m000 of 3") // its table has the row as it is now
	if got := fresh.Origin("m000"); got != "key A" || fresh.Origin("m005") != "" {
		t.Errorf("computed with %q", got)
	}

	// A batch that ends, one that died on this host, one on another host.
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	claims(t, c, 9, ids[:3], "m002 of 3")
	d := b.(*database)
	d.lease.stop() // its heart stops
	claim := func(query string, args ...any) {
		as(t, place, "DELETE FROM grimperium_batches WHERE id = $1", d.lease.id)
		as(t, place, query, append([]any{d.lease.id}, args...)...)
	}
	host, _ := os.Hostname()
	claim("INSERT INTO grimperium_batches VALUES ($1, $2, $3, now() + interval '1 hour')",
		"elsewhere", 1)
	claims(t, fresh, 9, ids[3:5], " of 2")
	claim("INSERT INTO grimperium_batches VALUES ($1, $2, $3, now() - interval '1 hour')",
		"elsewhere", 1)
	until(t, "the lease runs out", func() bool { // not just after the start of the server
		ours, _, err := fresh.Claim(1, ids[3:4])
		return err == nil && len(ours) == 1
	})
	claim("INSERT INTO grimperium_batches VALUES ($1, $2, $3, now() + interval '1 hour')", host,
		1<<30)
	claims(t, opened(t, place, true), 9, ids[4:5], "m004 of 1")

	// The dead one was only slow: what another batch has by now stays.
	if changed := merge(b, "m003", "B", false); len(changed) > 0 ||
		strings.Contains(stored(t, place), ",B") {
		t.Errorf("written over another batch's row: %v", changed)
	}
	if changed := merge(b, "m005", "B", false); !changed["m005"] {
		t.Error("nobody has the row, and it was not written")
	}
}

// TestClaimedEdit has another program edit one of two claimed rows. Both are merged alone, each
// into the row as it is now.
func TestClaimedEdit(t *testing.T) {
	place := made(t, "postgres", head+"a,,C,0,x,1.50,,\nb,,CC,0,y,2,,\n")
	table := opened(t, place, true)
	claims(t, table, 2, []string{"a", "b"}, "a b of 2")
	edit(t, place, "a", "note", "mine")
	for n, want := range []string{"a,Rerun,C,0,mine,1.50,1,\nb,,CC,0,y,2,,\n",
		"a,Rerun,C,0,mine,1.50,1,\nb,Rerun,CC,0,y,2,1,\n"} {
		id := []string{"a", "b"}[n]
		changed, err := table.Merge([]csvmerge.Change{{ID: id,
			Cells: map[string]string{"status": "Rerun", "reruns": "1"}}})
		if got := stored(t, place); err != nil || !changed[id] || got != head+want ||
			content(t, table.Rows()) != got {
			t.Errorf("%s: %v, %v; stored\n%s\nin memory\n%s", id, changed, err, got,
				content(t, table.Rows()))
		}
	}
	claims(t, opened(t, place, true), 2, []string{"a", "b"}, "a b of 2") // free again
}

// TestClaimGone deletes a row that a batch has read. It is no row of another batch, and forgotten.
func TestClaimGone(t *testing.T) {
	place, ids := numbered(t, 3)
	table, other := opened(t, place, true), opened(t, place, true)
	claims(t, other, 1, ids, "m000 of 1")
	as(t, place, "DELETE FROM TABLE_ WHERE mol_id = 'm001'")
	claims(t, table, 9, ids, "m002 m001 of 3")
	if _, there := table.Rows().Lookup("m001"); there {
		t.Error("the row is still there")
	}
}

// TestClaimAfterColumns has a batch compute a row and add columns for it, of which another batch
// that has read the table before knows nothing.
func TestClaimAfterColumns(t *testing.T) {
	place := made(t, "postgres", "mol_id,status,smiles\na,,C\nb,,C\n")
	a, b := opened(t, place, true), opened(t, place, true)
	change := csvmerge.Change{ID: "a", Origin: "k", Cells: map[string]string{"status": "Rerun",
		"batch_id": "A"}}
	for range 2 { // also a row that failed, and again by the same batch
		if _, err := a.Merge([]csvmerge.Change{change}); err != nil {
			t.Fatal(err)
		}
		change.Origin = ""
	}
	claims(t, b, 2, []string{"a", "b"}, "b of 2")
	claims(t, a, 2, []string{"a", "b"}, "a of 2") // its own merge is no reason
}

func TestLeaseIsRenewed(t *testing.T) {
	place, _ := numbered(t, 1)
	d := opened(t, place, true).(*database)
	ends := func() (at time.Time) {
		if err := d.db.QueryRow("SELECT until FROM grimperium_batches WHERE id = $1",
			d.lease.id).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	first := ends()
	until(t, "the lease is renewed", func() bool { return ends().After(first) })
}

// TestSilentServer has a server that takes a connection and says nothing.
func TestSilentServer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	place := fmt.Sprintf("postgres://u@%s/d?sslmode=disable&connect_timeout=1", silent.Addr())
	_, err = Header(place)
	if err == nil || errors.Is(err, context.DeadlineExceeded) || err.Error() != place+
		": the database does not answer: no answer in time" {
		t.Error(err)
	}
}

// TestLockedRow has another program change a row in a transaction that it leaves open.
func TestLockedRow(t *testing.T) {
	place, ids := numbered(t, 2)
	table := opened(t, place, true)
	other, _ := find(place)
	defer other.db.Close()
	tx, err := other.db.Begin()
	if err == nil {
		_, err = tx.Exec("UPDATE " + other.table + " SET note = 'mine' WHERE mol_id = 'm000'")
	}
	if err != nil {
		t.Fatal(err)
	}
	was := longest
	longest = 300 * time.Millisecond
	changes := []csvmerge.Change{{ID: ids[0], Cells: map[string]string{"status": "OK"}}}
	_, err = table.Merge(changes)
	longest = was
	busy, ok := errors.AsType[*csvmerge.BusyError](err)
	if !ok || !busy.Away || !strings.Contains(err.Error(), "an open transaction of another") {
		t.Error(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Merge(changes); err != nil || !strings.Contains(stored(t, place), ",mine") {
		t.Errorf("%v, %s", err, stored(t, place))
	}
}

// TestManyBatches has several batches at one table. None may get a row of another.
func TestManyBatches(t *testing.T) {
	place, ids := numbered(t, 300)
	var mu sync.Mutex
	by := map[string]int{}
	var group sync.WaitGroup
	var tables []batch.Table
	for range 6 { // before any of them writes: what it has computed nobody else needs
		tables = append(tables, opened(t, place, true))
	}
	for n, table := range tables {
		group.Go(func() {
			queue := ids
			for len(queue) > 0 {
				ours, asked, err := table.Claim(1+n%3, queue)
				if _, busy := errors.AsType[*csvmerge.BusyError](err); busy {
					continue // another one adds its column
				}
				if err != nil {
					t.Error(err)
					return
				}
				queue = queue[asked:]
				var changes []csvmerge.Change
				for _, id := range ours {
					mu.Lock()
					by[id]++
					mu.Unlock()
					changes = append(changes, csvmerge.Change{ID: id,
						Cells: map[string]string{"status": "OK", "batch_id": fmt.Sprint(n),
							fmt.Sprintf("c%d", n): "x"}})
				}
				for {
					_, err := table.Merge(changes)
					if _, busy := errors.AsType[*csvmerge.BusyError](err); !busy {
						if err != nil {
							t.Error(err)
						}
						break
					}
				}
			}
		})
	}
	group.Wait()
	for _, id := range ids {
		if by[id] != 1 {
			t.Errorf("%s was computed %d times", id, by[id])
		}
	}
	rows := opened(t, place, false).Rows()
	for i := range rows.Len() {
		n := rows.Texts(i, "batch_id")[0]
		if rows.Texts(i, "c"+n)[0] != "x" || rows.Status(i) != csvmerge.OK {
			t.Errorf("row %d: %v", i, rows.Row(i))
		}
	}
}

// TestOutage takes the server away from a batch: by a crash, by cut connections, and by a failover
// that has left it with a standby.
func TestOutage(t *testing.T) {
	place, ids := numbered(t, 4)
	a, b := opened(t, place, true), opened(t, place, true)
	claims(t, a, 2, ids, "m000 m001 of 2")
	n := 0
	merge := func() error {
		n++
		_, err := a.Merge([]csvmerge.Change{{ID: "m000", Hold: true,
			Cells: map[string]string{"note": fmt.Sprint(n)}}})
		return err
	}
	goesOn := func(what string, isAway func(err error) bool, back func() error) {
		t.Helper()
		if err := merge(); !isAway(err) {
			t.Errorf("%s: %v", what, err)
		}
		if err := back(); err != nil {
			t.Fatal(err)
		}
		until(t, what, func() bool { return merge() == nil })
		if rows := opened(t, place, false).Rows(); rows.Texts(0, "note")[0] != fmt.Sprint(n) {
			t.Errorf("%s: the merge is lost", what)
		}
		until(t, what, func() bool {
			ours, _, err := b.Claim(2, ids[:2])
			if len(ours) > 0 {
				t.Errorf("%s: the claims are lost: %v", what, ours)
			}
			return err == nil
		})
	}
	away := func(err error) bool {
		busy, ok := errors.AsType[*csvmerge.BusyError](err)
		_, _, claimErr := b.Claim(1, ids[3:])
		other, otherOK := errors.AsType[*csvmerge.BusyError](claimErr)
		return ok && busy.Away && otherOK && other.Away
	}
	server.Kill()
	goesOn("crash", away, server.Launch)

	as(t, place, cut)
	goesOn("cut", func(err error) bool { return err == nil || away(err) },
		func() error { return nil })

	as(t, place, "ALTER SYSTEM SET default_transaction_read_only = on")
	as(t, place, "SELECT pg_reload_conf()")
	as(t, place, cut)
	isStandby := func(err error) bool {
		until(t, "read only", func() bool { err = merge(); return err != nil })
		return away(err) && strings.Contains(err.Error(), "read-only transaction")
	}
	goesOn("standby", isStandby, func() error {
		defer as(t, place, cut)
		return endStandby(place)
	})
}

// cut ends all connections of batches.
const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = " +
	"'grimperium' AND pid <> pg_backend_pid()"

// endStandby makes a server that is read-only a server that can be written again.
func endStandby(place string) error {
	d, err := find(place)
	if err != nil {
		return err
	}
	defer d.db.Close()
	for _, query := range []string{"SET default_transaction_read_only = off",
		"ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"} {
		if _, err := d.db.Exec(query); err != nil {
			return err
		}
	}
	return nil
}

// TestOutages has a server crash again and again while a batch works with it. Whatever breaks then,
// the batch can wait for it.
func TestOutages(t *testing.T) {
	place, ids := numbered(t, 50)
	table := opened(t, place, true)
	done := make(chan struct{})
	var group sync.WaitGroup
	merged := 0
	group.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			_, _, err := table.Claim(5, ids[n%40:])
			if err == nil {
				_, err = table.Merge([]csvmerge.Change{{ID: ids[n%50],
					Cells: map[string]string{"note": fmt.Sprint(n)}}})
			}
			if err == nil {
				merged++
			} else if busy, ok := errors.AsType[*csvmerge.BusyError](err); !ok || !busy.Away {
				t.Error(err)
				return
			}
		}
	})
	for range 4 {
		time.Sleep(50 * time.Millisecond)
		server.Kill()
		if err := server.Launch(); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	group.Wait()
	if merged == 0 {
		t.Error("nothing was merged in between")
	}
}
