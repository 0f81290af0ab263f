package identity

import (
	_ "embed"
	"strings"
	"unicode"
	"unicode/utf8"
)

// commonWords holds words in lower case, without the digits and punctuation that people put around them: one word stands for
// thousands of common passwords.
//
//go:embed common.txt
var commonWords string

// commonPasswords holds the most common passwords of 8 characters and more, as they are (ASVS 5.0, 6.2.4), one a line.
//
//go:embed commonpasswords.txt
var commonPasswords string

// wordlist is the set of what is tried first.
type wordlist map[string]bool

func newWordlist() wordlist {
	words := wordlist{"writ": true}
	for word := range strings.FieldsSeq(commonWords) {
		words[word] = true
	}
	for line := range strings.Lines(commonPasswords) {
		if password := strings.TrimSpace(line); !strings.HasPrefix(password, "# ") && password != "#" && password != "" {
			words[password] = true
		}
	}
	return words
}

// leastContext is the least length of a word that is refused because of whose password it is.
const leastContext = 3

// with adds what an attacker knows of whose password it is.
func (w wordlist) with(context []string) func(string) bool {
	known := map[string]bool{}
	for _, text := range context {
		lower := strings.ToLower(text)
		for _, word := range append(strings.FieldsFunc(lower, notLetter), lower) {
			if utf8.RuneCountInString(word) >= leastContext {
				known[word] = true
			}
		}
	}
	return func(word string) bool { return w[word] || known[word] }
}

// guessable reports passwords that are a common one, a common word, the product or something of the user's with some digits around,
// two of these in a row, or one simple run. context is what an attacker knows of whose password it is.
func (w wordlist) guessable(password string, context ...string) bool {
	lower := strings.ToLower(password)
	if simpleRun(lower) {
		return true
	}
	known := w.with(context)
	// The whole, and what is left as digits and signs are taken from its end: some common ones end in a digit of their own.
	for end := lower; ; {
		if known(end) {
			return true
		}
		last, size := utf8.DecodeLastRuneInString(end)
		if size == 0 || !notLetter(last) {
			break
		}
		end = end[:len(end)-size]
	}
	core := strings.TrimFunc(lower, notLetter)
	plain := strings.TrimFunc(unleet.Replace(lower), notLetter)
	for _, candidate := range []string{core, plain, unleet.Replace(core)} {
		if known(candidate) || composed(candidate, known) {
			return true
		}
	}
	return false
}

// composed reports a candidate that is a word repeated, or two words in a row.
func composed(candidate string, known func(string) bool) bool {
	for cut := 3; cut <= len(candidate)-3; cut++ {
		if known(candidate[:cut]) && known(strings.TrimFunc(candidate[cut:], notLetter)) {
			return true
		}
	}
	return false
}

func notLetter(c rune) bool { return !unicode.IsLetter(c) }

// unleet turns the digits and signs that stand for letters back.
var unleet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i")

// simpleRun reports one character, one pair repeated, or neighbours in a row all through.
func simpleRun(s string) bool {
	const rows = "01234567890 abcdefghijklmnopqrstuvwxyz qwertyuiop asdfghjkl zxcvbnm 09876543210 qwertyuiopasdfghjklzxcvbnm"
	runes := []rune(s)
	steps := 0
	for i := 1; i < len(runes); i++ {
		pair := string(runes[i-1 : i+1])
		if runes[i] == runes[i-1] || strings.Contains(rows, pair) || i >= 2 && runes[i] == runes[i-2] {
			steps++
		}
	}
	return steps >= len(runes)-2
}
