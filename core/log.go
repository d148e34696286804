package core

import (
	"bytes"
	"io"
	stdlog "log"
	"log/slog"
	"slices"
)

// setDefault makes log what package slog writes to, and with it package log, as a program does once, at
// its start. It is slog.SetDefault but for one thing: net/http writes to package log when a server sends
// more than it was asked for, and quotes it. That may repeat the key; the quote is cut off.
func setDefault(log *slog.Logger) {
	slog.SetDefault(log)
	stdlog.SetOutput(unquoted{stdlog.Writer()})
}

type unquoted struct{ io.Writer }

func (u unquoted) Write(line []byte) (int, error) {
	const says = "Unsolicited response received on idle HTTP channel" // and goes on to quote it
	i := bytes.Index(line, []byte(says))
	if i < 0 {
		return u.Writer.Write(line)
	}
	_, err := u.Writer.Write(slices.Concat(line[:i+len(says)], []byte("\n")))
	return len(line), err
}
