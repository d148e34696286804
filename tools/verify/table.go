package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// table collects the results: a cell for each check of a platform, and notes below. It is safe for concurrent use.
type table struct {
	columns, rows []string

	mu    sync.Mutex
	cells map[[2]string]string // platform, check
	notes []string
	sizes []size
	fault bool
}

func newTable(columns, rows []string) *table {
	return &table{columns: columns, rows: rows, cells: make(map[[2]string]string)}
}

// check runs one check of a platform. A cell that several checks share passes if all of them do.
func (t *table) check(platform, name, what string, do func() error) bool {
	began := time.Now()
	err := do()
	t.mu.Lock()
	defer t.mu.Unlock()
	cell := [2]string{platform, name}
	verdict := "ok"
	if err != nil {
		verdict = "FAIL"
		t.fault = true
		t.cells[cell] = verdict
		first, _, _ := strings.Cut(err.Error(), "\n")
		t.notes = append(t.notes, fmt.Sprintf("FAIL  %s: %s: %s: %s", platform, name, what, first))
	} else if t.cells[cell] == "" {
		t.cells[cell] = verdict
	}
	fmt.Fprintf(os.Stderr, "%-5s %5.1fs  %s: %s\n", verdict, time.Since(began).Seconds(), platform, what)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return err == nil
}

// note adds a line below the table about a platform's limitation.
func (t *table) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notes = append(t.notes, fmt.Sprintf("note  "+format, args...))
}

// size records the size of a deployed artifact.
func (t *table) size(artefact string, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sizes = append(t.sizes, size{artefact, float64(bytes) / 1e6})
}

type size struct {
	artefact  string
	megabytes float64
}

// documented returns the sizes that differ from those in a Markdown table by more than 5 %.
func (t *table) documented(text string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var faults []error
	for _, s := range t.sizes {
		_, rest, _ := strings.Cut(text, "| "+s.artefact+" | ")
		var said float64
		if _, err := fmt.Sscanf(rest, "%f MB |", &said); err != nil || math.Abs(said-s.megabytes) > 0.05*s.megabytes {
			faults = append(faults, fmt.Errorf("%s: %.2f MB, in the text %.2f", s.artefact, s.megabytes, said))
		}
	}
	return errors.Join(faults...)
}

func (t *table) passed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.fault
}

func (t *table) print(out io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\t"+strings.Join(t.columns, "\t"))
	for _, row := range t.rows {
		fmt.Fprint(w, row)
		for _, column := range t.columns {
			fmt.Fprint(w, "\t", cmp.Or(t.cells[[2]string{column, row}], "·"))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	fmt.Fprintln(out)
	for _, s := range t.sizes {
		fmt.Fprintf(out, "%-44s %6.2f MB\n", s.artefact, s.megabytes)
	}
	fmt.Fprintln(out)
	for _, line := range t.notes {
		fmt.Fprintln(out, line)
	}
}
