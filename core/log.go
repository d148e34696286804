package core

import (
	"bytes"
	"io"
	stdlog "log"
	"log/slog"
	"slices"
)

// SetDefault makes log what package slog writes to, and with it package log, as a program does once, at
// its start. It is slog.SetDefault but for one thing: net/http writes to package log when a server sends
// more than it was asked for, and quotes it. That may repeat the key; the quote is cut off.
func SetDefault(log *slog.Logger) {
	slog.SetDefault(log)
	stdlog.SetOutput(unquoted{stdlog.Writer()})
}

type unquoted struct{ io.Writer }

func (u unquoted) Write(line []byte) (int, error) {
	said, _, found := bytes.Cut(line, []byte(" starting with "))
	if !found {
		return u.Writer.Write(line)
	}
	_, err := u.Writer.Write(slices.Concat(said, []byte("\n")))
	return len(line), err
}
