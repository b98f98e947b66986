package tables

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Times of a lease. A test has shorter ones.
var (
	leaseTime  = 2 * time.Minute // after its last renewal a batch is dead, and its claims are void
	renewEvery = 20 * time.Second
)

// lease says that a batch lives. Its rows are claimed by its id, and free when it is gone.
type lease struct {
	id   string
	host string
	stop context.CancelFunc
}

// begin takes a lease, and removes those of dead batches of this host, which need not run out.
func (d *database) begin() error {
	host, _ := os.Hostname()
	beats, stop := context.WithCancel(context.Background())
	l := &lease{host: host, stop: stop,
		id: fmt.Sprintf("%s-%d-%d", host, os.Getpid(), time.Now().UnixNano())}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	rows, err := d.db.QueryContext(ctx, "SELECT id, pid FROM "+d.batches()+" WHERE host = $1", host)
	if err != nil {
		return d.explained(err)
	}
	var dead []string
	for rows.Next() {
		var id string
		var pid int
		err = rows.Scan(&id, &pid)
		if err == nil && unix.Kill(pid, 0) == unix.ESRCH {
			dead = append(dead, id)
		}
	}
	if err = rows.Err(); err == nil && len(dead) > 0 {
		_, err = d.db.ExecContext(ctx, "DELETE FROM "+d.batches()+" WHERE id = ANY($1)", dead)
	}
	if err == nil {
		err = d.renew(l)
	}
	if err != nil {
		stop()
		return d.explained(err)
	}
	d.lease = l
	go d.beat(beats, l)
	return nil
}

func (d *database) batches() string { return d.schema + "grimperium_batches" }

func (d *database) renew(l *lease) error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTime)
	defer cancel()
	_, err := d.db.ExecContext(ctx, "INSERT INTO "+d.batches()+" VALUES ($1, $2, $3, now() + "+
		"$4::interval) ON CONFLICT (id) DO UPDATE SET until = excluded.until", l.id, l.host,
		os.Getpid(), leaseTime)
	return err
}

// beat renews the lease until it ends, more often while the server does not answer.
func (d *database) beat(ctx context.Context, l *lease) {
	wait := renewEvery
	for {
		select {
		case <-time.After(wait):
			if wait = renewEvery; d.renew(l) != nil {
				wait = renewEvery / 10
			}
		case <-ctx.Done():
			return
		}
	}
}

// free is the condition that this batch may have a row: it is its own, or that of no batch that
// lives. After a start of the server all batches have the time to renew their leases.
func (d *database) free() string {
	own := ""
	if d.lease != nil {
		own = d.lease.id
	}
	return fmt.Sprintf("(t.claimed_by IS NULL OR t.claimed_by = '%s' OR NOT EXISTS (SELECT 1 "+
		"FROM %s AS b WHERE b.id = t.claimed_by AND (b.until > now() OR "+
		"pg_postmaster_start_time() > now() - interval '%f s')))",
		strings.ReplaceAll(own, "'", "''"), d.batches(), leaseTime.Seconds())
}

const window = 64 // rows at least that are looked at for a claim

// claim takes n of these rows for this batch. They are the first that no other batch has claimed,
// or has computed since this batch read the table.
func (d *database) claim(n int, ids []string) (ours []string, asked int, err error) {
	ids = ids[:min(len(ids), max(window, 4*n))]
	taken, last := map[string]bool{}, ""
	err = d.transaction(func(ctx context.Context, tx *sql.Tx) error {
		var candidates []string
		id := d.columns[d.idColumn()]
		err := d.fetch(ctx, tx, func(r dbRow) {
			computed := r.origin != d.origins[r.id]
			ok := d.refresh(r)
			taken[r.id], last = true, r.id
			if ok && !computed {
				candidates = append(candidates, r.id)
			}
		}, "JOIN unnest($1::text[]) WITH ORDINALITY AS asked(id, place) ON t.mol_id = "+
			"CAST(asked.id AS "+cmp.Or(id.cast, d.types[id.typ])+") WHERE "+d.free()+
			" ORDER BY asked.place LIMIT $2 FOR UPDATE OF t SKIP LOCKED", ids, n)
		if err != nil || len(candidates) == 0 {
			return err
		}
		// A second look: another batch may have begun after the first one's snapshot was taken.
		rows, err := tx.QueryContext(ctx, "UPDATE "+d.table+" AS t SET claimed_by = $1 WHERE "+
			"mol_id = ANY($2) AND "+d.free()+" RETURNING CAST(mol_id AS text), "+
			"CAST(xmin AS text)", d.lease.id, candidates)
		if err != nil {
			return err
		}
		defer rows.Close()
		claimed := map[string]bool{}
		for rows.Next() {
			var id, version string
			if err := rows.Scan(&id, &version); err != nil {
				return err
			}
			claimed[id], d.versions[id] = true, version
		}
		ours = slices.DeleteFunc(candidates, func(id string) bool { return !claimed[id] })
		return rows.Err()
	})
	if err != nil {
		return nil, 0, err
	}
	if asked = len(ids); len(taken) == n { // those behind the last one were not looked at
		asked = slices.Index(ids, last) + 1
	}
	left := slices.DeleteFunc(slices.Clone(ids[:asked]), func(id string) bool { return taken[id] })
	gone, err := d.gone(left, func(dbRow) {}) // no other batch has them
	return append(ours, gone...), asked, err
}
