package core

import (
	"bytes"
	"io"
	stdlog "log"
	"log/slog"
	"slices"
)

// setDefault makes log the default of packages slog and log, as slog.SetDefault does. But it truncates one message:
// net/http logs, and quotes, unsolicited data from a server, which may contain the key.
func setDefault(log *slog.Logger) {
	slog.SetDefault(log)
	stdlog.SetOutput(unquoted{stdlog.Writer()})
}

type unquoted struct{ io.Writer }

func (u unquoted) Write(line []byte) (int, error) {
	const message = "Unsolicited response received on idle HTTP channel" // the quote follows
	i := bytes.Index(line, []byte(message))
	if i < 0 {
		return u.Writer.Write(line)
	}
	_, err := u.Writer.Write(slices.Concat(line[:i+len(message)], []byte("\n")))
	return len(line), err
}
