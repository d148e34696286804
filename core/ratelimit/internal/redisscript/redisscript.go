// Package redisscript is what the drivers that count in Redis share, however they reach it: the script, its
// arguments, its answer, and what may be repeated of a refusal.
package redisscript

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by it
	_ "embed"     // of the script
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"github.com/orga-session/orga-session/core/internal/gcra"
	"github.com/orga-session/orga-session/core/ratelimit"
)

// Source is the script. Redis knows it by SHA1 once it has run.
//
//go:embed gcra.lua
var Source string

// SHA1 is the script's digest, as EVALSHA takes it.
var SHA1 = func() string {
	sum := sha1.Sum([]byte(Source)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}()

// prefix keeps our keys apart from others in the same database.
const prefix = "orga-session:"

// Key is where a bucket is kept. What stands in braces is the tenant, so that a cluster keeps the keys of one
// request together. The quota is in it, so that another one starts whole: what was used of 3/24h would keep a
// caller out of 100/1m for the rest of the day.
func Key(b ratelimit.Bucket) string {
	tenant, caller, _ := strings.Cut(b.Key, ":")
	return prefix + "{" + tenant + ":}" + caller + ":" + b.Quota.String()
}

// Args are the arguments of EVAL or EVALSHA after the script: the number of keys, the keys, and the rest.
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

// ErrAnswer is an answer that is not the script's: a broken proxy's, or another server's.
var ErrAnswer = errors.New("unexpected answer from the server")

// Decide reads the script's answer.
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

// words are what servers begin their refusals with, or have in the text of a script's failure.
var words = []string{
	"WRONGPASS", "NOAUTH", "NOPERM", "OOM", "READONLY", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "BUSY",
	"NOSCRIPT", "CLUSTERDOWN", "CROSSSLOT", "MOVED", "TRYAGAIN",
}

// Refusal is a server's error message as far as it may be repeated: its word. Some servers quote the command in
// it, and the password with that.
func Refusal(message string) string {
	if strings.Contains(message, "can't run this command") { // how Redis 6 says it of a script
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
