// Package redisscript is shared by the drivers that count in Redis: the script, its arguments, its answer, and the safe
// part of error messages.
package redisscript

import (
	"crypto/sha1" //nolint:gosec // Redis identifies scripts by SHA1
	_ "embed"     // of the script
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"github.com/orga-session/orga-session/core/internal/gcra"
	"github.com/orga-session/orga-session/core/ratelimit"
)

// Source is the script. Redis caches it under its SHA1 once it has run.
//
//go:embed gcra.lua
var Source string

// SHA1 is the script's digest, for EVALSHA.
var SHA1 = func() string {
	sum := sha1.Sum([]byte(Source)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}()

// prefix separates our keys from others in the same database.
const prefix = "orga-session:"

// Key returns the key of a bucket. The tenant is in braces, so that a cluster stores the keys of one request together. The
// key contains the quota, so that a changed quota starts unused: otherwise, usage of 3/24h would keep a caller out of 100/1m
// for the rest of the day.
func Key(b ratelimit.Bucket) string {
	tenant, caller, _ := strings.Cut(b.Key, ":")
	return prefix + "{" + tenant + ":}" + caller + ":" + b.Quota.String()
}

// Args returns the arguments of EVAL or EVALSHA after the script: the number of keys, the keys, and the rest.
func Args(buckets []ratelimit.Bucket) []string {
	args := make([]string, 0, 1+3*len(buckets))
	args = append(args, strconv.Itoa(len(buckets)))
	for _, b := range buckets {
		args = append(args, Key(b))
	}
	for _, b := range buckets {
		rate := gcra.New(b.Quota)
		args = append(args, strconv.FormatInt(rate.Share, 10), strconv.FormatInt(rate.Burst, 10))
	}
	return args
}

// ErrAnswer means that the answer is not the script's, but from a broken proxy or another server.
var ErrAnswer = errors.New("unexpected answer from the server")

// Decide parses the script's answer.
func Decide(buckets []ratelimit.Bucket, reply []int64) ([]ratelimit.Decision, error) {
	if len(reply) != 1+len(buckets) || reply[0] != 0 && reply[0] != 1 {
		return nil, ErrAnswer
	}
	allowed := reply[0] == 1
	decisions := make([]ratelimit.Decision, len(buckets))
	refused := false
	for i, b := range buckets {
		rate, used := gcra.New(b.Quota), reply[i+1]
		if used < 0 || used > rate.Burst || allowed && used < rate.Share {
			return nil, ErrAnswer
		}
		decisions[i] = rate.Decide(used, allowed)
		refused = refused || !decisions[i].Allowed
	}
	if refused == allowed {
		return nil, ErrAnswer
	}
	return decisions, nil
}

// words start servers' error messages, or occur in the text of a script's failure.
var words = []string{
	"WRONGPASS", "NOAUTH", "NOPERM", "OOM", "READONLY", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "BUSY",
	"NOSCRIPT", "CLUSTERDOWN", "CROSSSLOT", "MOVED", "TRYAGAIN",
}

// Refusal returns the safe part of a server's error message: its word. Some servers quote the command in the message, and
// with it the password.
func Refusal(message string) string {
	if strings.Contains(message, "can't run this command") { // Redis 6's message for scripts
		return "NOPERM"
	}
	for field := range strings.FieldsSeq(message) {
		field = strings.Trim(field, "-:")
		for _, word := range words {
			if field == word {
				return word
			}
		}
	}
	return "ERR"
}
