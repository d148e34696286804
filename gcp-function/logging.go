package function

import "log/slog"

// cloudLogging renames attributes so that Cloud Logging recognizes a line's severity and text. Traces are linked if the
// project is known; Google does not set it, but the deploy tool does.
func cloudLogging(project string) func([]string, slog.Attr) slog.Attr {
	return func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.LevelKey:
			a.Key = "severity"
			if level, ok := a.Value.Any().(slog.Level); ok && level == slog.LevelWarn {
				a.Value = slog.StringValue("WARNING")
			}
		case slog.MessageKey:
			a.Key = "message"
		case "trace_id":
			if project != "" {
				return slog.String("logging.googleapis.com/trace", "projects/"+project+"/traces/"+a.Value.String())
			}
		case "span_id":
			a.Key = "logging.googleapis.com/spanId"
		}
		return a
	}
}
