package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
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

func (t *table) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := 0
	for _, row := range t.rows {
		first = max(first, len(row))
	}
	fmt.Fprintf(w, "\n%-*s", first, "")
	for _, column := range t.columns {
		fmt.Fprintf(w, "  %s", column)
	}
	fmt.Fprintln(w)
	for _, row := range t.rows {
		fmt.Fprintf(w, "%-*s", first, row)
		for _, column := range t.columns {
			cell := t.cells[[2]string{column, row}]
			if cell == "" {
				cell = "·"
			}
			fmt.Fprintf(w, "  %s%s", cell, strings.Repeat(" ", max(0, len(column)-utf8.RuneCountInString(cell))))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	for _, s := range t.sizes {
		fmt.Fprintf(w, "%-44s %6.2f MB\n", s.artefact, s.megabytes)
	}
	fmt.Fprintln(w)
	for _, line := range t.notes {
		fmt.Fprintln(w, line)
	}
}
