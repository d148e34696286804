package probe

import (
	"fmt"
	"io"
	"strings"
)

// signs mark a line, with a terminal color.
var signs = map[Status]struct{ sign, colour string }{
	OK:   {"✓", "\x1b[32m"},
	Warn: {"!", "\x1b[33m"},
	Fail: {"✗", "\x1b[31m"},
	Skip: {"-", "\x1b[2m"},
}

// Print writes the report as a checklist, with a remedy under each failed line.
func (r Report) Print(w io.Writer, colour bool) error {
	var out strings.Builder
	paint := func(code, s string) string {
		if !colour {
			return s
		}
		return code + s + "\x1b[0m"
	}
	if r.Outcome == NotRun {
		fmt.Fprintf(&out, "%s could not run: %s\n", paint(signs[Fail].colour, signs[Fail].sign), printable(r.Reason))
		_, err := io.WriteString(w, out.String())
		return err
	}
	width := 0
	for _, id := range IDs() {
		width = max(width, len(id))
	}
	fmt.Fprintf(&out, "%s%s\n\n", printable(r.URL), fromPage(r.Origin))
	var unchecked []string
	for i, c := range r.Checks {
		if c.Detail == notReached {
			unchecked = append(unchecked, c.ID)
			continue
		}
		detail := c.Detail
		if c.Target != "" {
			detail = c.Target + "  " + detail
		}
		if c.RequestID != "" {
			detail += ", request ID " + c.RequestID
		}
		fmt.Fprintf(&out, "%s %-*s  %s\n", paint(signs[c.Status].colour, signs[c.Status].sign), width, c.ID, detail)
		if c.Remedy != "" && (i+1 == len(r.Checks) || r.Checks[i+1].Remedy != c.Remedy) { // print equal remedies in a row once
			fmt.Fprintf(&out, "  %-*s  → %s\n", width, "", c.Remedy)
		}
	}
	if len(unchecked) > 0 {
		fmt.Fprintf(&out, "%s not checked because a check above failed: %s\n",
			paint(signs[Skip].colour, signs[Skip].sign), strings.Join(unchecked, ", "))
	}
	fmt.Fprintf(&out, "\n%s\n", r.summary())
	_, err := io.WriteString(w, out.String())
	return err
}

func (r Report) summary() string {
	verdict := "It works."
	if r.Outcome != Works {
		verdict = "It does not work."
	}
	return fmt.Sprintf("%s Failed: %d, warnings: %d, tokens minted: %d.", verdict, r.Count(Fail), r.Count(Warn), r.Mints)
}

func fromPage(origin string) string {
	if origin == "" {
		return ""
	}
	return "  called from a page of " + origin
}
