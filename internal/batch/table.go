package batch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/command"
)

// Table is where the rows are kept: a CSV file, or a table of a database.
type Table interface {
	// Rows is the table in memory, as it was last read, claimed or merged. It is always the same one.
	Rows() *csvmerge.Table
	// Claim reads the first n of these rows again. Where several batches may work on one table, it
	// takes them for this batch, and passes over rows that another batch has taken, or computed since
	// this one read the table. It has dealt with so many of the ids as asked says.
	Claim(n int, ids []string) (ours []string, asked int, err error)
	// Merge writes changes, as csvmerge.Table.Merge does; its errors are the same.
	Merge(changes []csvmerge.Change) (changed map[string]bool, err error)
	// Origin is the Origin of the Change that was merged last into a row, "" if that is not known.
	Origin(id string) string
	// Close gives up all claims.
	Close() error
}

const (
	tick      = 250 * time.Millisecond // rows of finished molecules wait so long for each other
	maxGroup  = 5000                   // rows that wait longer, because programs are scripts
	busyLimit = 10 * time.Second       // for a table that somebody edits, at the end
	awayPause = 2 * time.Second        // between two tries of a server that does not answer
	share     = 20                     // the table takes one part in so many of the time

	slowWrite  = 50 * time.Millisecond // rows wait for a second then
	slowWrites = 2                     // in a row: a database is worth a word, if there are many rows
	manyRows   = 20_000

	mostClaimed = 1000 // at once
)

// tableState is what the owner knows of the table beside its rows.
type tableState struct {
	claimed []string      // molecules that are next
	later   bool          // there is no next one now, but there may be
	retryAt time.Time     // of a table that can't be read or written now
	away    bool          // the batch has said that the server does not answer
	written time.Time     // when the table was
	group   int           // rows that were written then
	took    time.Duration // to write it then, and to claim rows since
	slow    int           // how many writes in a row took long
}

// waits says whether the table is not to be touched now.
func (s *tableState) waits() bool { return time.Now().Before(s.retryAt) }

// cantNow takes in an error of the table, and says whether it passes. The batch goes on meanwhile.
func (o *owner) cantNow(err error) bool {
	busy, ok := errors.AsType[*csvmerge.BusyError](err)
	if ok && busy.Away {
		o.retryAt = time.Now().Add(awayPause)
		if !o.away {
			o.warn(busy.Error() + ". What is computed is kept in artefacts, and the rows wait; " +
				"the batch goes on when the database is back")
		}
		o.away = true
	} else if o.away && err == nil {
		o.away = false
		o.warn(o.shownTable() + ": the database is back")
	}
	return ok
}

// claim has rows taken for this batch, one or as many as are soon finished, unless it has some. It
// says whether there is a next molecule.
func (o *owner) claim(ctx context.Context) bool {
	o.later = false
	for len(o.claimed) == 0 && len(o.queue) > 0 && ctx.Err() == nil {
		again := func(id string) bool { _, ok := o.again[id]; return ok }
		if again(o.queue[0]) { // the batch has it already
			o.claimed, o.queue = o.queue[:1:1], o.queue[1:]
			break
		}
		if o.later = o.waits(); o.later {
			break
		}
		ids := o.queue[:min(len(o.queue), mostClaimed)]
		if n := slices.IndexFunc(ids, again); n >= 0 {
			ids = ids[:n]
		}
		begin := time.Now()
		ours, asked, err := o.Source.Claim(max(1, len(o.waiting), o.group), ids)
		o.took += time.Since(begin)
		if o.later = o.cantNow(err); o.later {
			break
		}
		o.fail(err)
		o.claimed, o.queue = ours, o.queue[asked:]
		o.sum.Elsewhere += asked - len(ours)
	}
	return len(o.claimed) > 0 && ctx.Err() == nil
}

// slowTable says once that the rows wait for a file that takes long to write.
func (o *owner) slowTable() {
	_, isFile := o.Source.(*csvmerge.Table)
	if !isFile || o.took < slowWrite || o.Table.Len() < manyRows {
		o.slow = min(o.slow, 0)
		return
	}
	if o.slow++; o.slow != slowWrites {
		return
	}
	o.slow = math.MinInt
	file := o.shownTable()
	o.warn(fmt.Sprintf("%s has %s and takes %s to write. Rows of finished molecules wait %s for each "+
		"other, so that writing takes 5 %% of the time. SQLite has no such wait: "+command.Name+
		" convert %[1]s sqlite:%[5]s.db", file, Count(o.Table.Len(), "row"),
		o.took.Round(time.Millisecond),
		(share * o.took).Round(100*time.Millisecond), strings.TrimSuffix(file, ".csv")))
}
