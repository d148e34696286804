// Package spelling suggests the correct form of a misspelled name. The endpoint and the deploy tool share it, which are in
// different modules.
package spelling

import (
	"cmp"
	"slices"
	"strings"
)

// Nearest returns the known name that a misspelled one most likely means: the closest within four edits, in any
// case, else the closest that shares a word of at least five letters. It returns "" if there is none.
func Nearest(name string, known []string) string {
	name = strings.ToUpper(name)
	words := strings.Split(name, "_")
	nearest, distance := "", 5 // more than four edits make another word
	related, apart := "", len(name)
	for _, candidate := range known {
		d := editDistance(name, strings.ToUpper(candidate))
		if candidate != "" && d < distance {
			nearest, distance = candidate, d
		}
		shares := slices.ContainsFunc(strings.Split(candidate, "_"), func(w string) bool { return len(w) >= 5 && slices.Contains(words, w) })
		if shares && d < apart {
			related, apart = candidate, d
		}
	}
	return cmp.Or(nearest, related)
}

// editDistance returns the number of insertions, deletions and replacements that turn a into b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
