package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"go.mongodb.org/mongo-driver/bson"
)

const (
	maxMessage = 48_000_000
	maxBatch   = 100_000

	opReply = 1
	opQuery = 2004
	opMsg   = 2013

	flagChecksum   = 1 << 0
	flagMoreToCome = 1 << 1
	requiredFlags  = 0xFFFF // an unknown bit among these is an error, above them it is not
)

type message struct {
	request int32
	op      int32
	body    []byte
}

// readMessage reads one message. Memory grows with what arrives, not with what the header promises.
func readMessage(r io.Reader) (message, error) {
	var header [16]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return message{}, err
	}
	length := int64(int32(binary.LittleEndian.Uint32(header[:])))
	m := message{request: int32(binary.LittleEndian.Uint32(header[4:])), op: int32(binary.LittleEndian.Uint32(header[12:]))}
	if length < 16 || length > maxMessage {
		return m, fmt.Errorf("a message of %d bytes", length)
	}
	if length <= 1<<16 {
		m.body = make([]byte, length-16)
		_, err := io.ReadFull(r, m.body)
		if err == nil && m.op == opMsg {
			err = checksum(header[:], m.body)
		}
		return m, err
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, length-16); err != nil {
		return m, err
	}
	m.body = body.Bytes()
	if m.op == opMsg {
		return m, checksum(header[:], m.body)
	}
	return m, nil
}

// checksum verifies the optional CRC-32C at the end of an OP_MSG.
func checksum(header, body []byte) error {
	if len(body) < 4 || binary.LittleEndian.Uint32(body)&flagChecksum == 0 {
		return nil
	}
	if len(body) < 8 {
		return errors.New("a message without room for its checksum")
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum(header, table), table, body[:len(body)-4])
	if sum != binary.LittleEndian.Uint32(body[len(body)-4:]) {
		return errors.New("a message with a wrong checksum")
	}
	return nil
}

// decodeMsg reads the body of an OP_MSG. The documents of a sequence (kind 1) become an array of the command that it belongs to.
func decodeMsg(body []byte) (command bson.D, moreToCome bool, err error) {
	if len(body) < 4 {
		return nil, false, errMalformed
	}
	flags := binary.LittleEndian.Uint32(body)
	if unknown := flags & requiredFlags &^ (flagChecksum | flagMoreToCome); unknown != 0 {
		return nil, false, fmt.Errorf("unknown flags %#x in a message", unknown)
	}
	moreToCome = flags&flagMoreToCome != 0
	body = body[4:]
	if flags&flagChecksum != 0 {
		if len(body) < 4 {
			return nil, false, errMalformed
		}
		body = body[:len(body)-4]
	}
	d := &decoder{values: maxValues}
	var sequences bson.D
	for len(body) > 0 {
		kind := body[0]
		piece, rest, err := sized(body[1:], 0, 5)
		if err != nil {
			return nil, false, err
		}
		body = rest
		switch {
		case kind == 0 && command == nil:
			if len(piece) > maxDocument+16<<10 {
				return nil, false, errors.New("a command of more than 16 MB")
			}
			if command, err = d.document(piece, 1); err != nil {
				return nil, false, err
			}
		case kind == 1:
			sequence, err := d.sequence(piece[4:])
			if err != nil {
				return nil, false, err
			}
			sequences = append(sequences, sequence)
		default:
			return nil, false, fmt.Errorf("a section of kind %d, or a second command", kind)
		}
	}
	if len(command) == 0 {
		return nil, false, errors.New("a message without a command")
	}
	for _, sequence := range sequences {
		if _, twice := lookup(command, sequence.Key); twice {
			return nil, false, fmt.Errorf("the field %q twice", sequence.Key)
		}
		command = append(command, sequence)
	}
	return command, moreToCome, nil
}

func (d *decoder) sequence(src []byte) (bson.E, error) {
	end := bytes.IndexByte(src, 0)
	if end < 0 {
		return bson.E{}, errMalformed
	}
	name, src := string(src[:end]), src[end+1:]
	docs := bson.A{}
	for len(src) > 0 {
		piece, rest, err := sized(src, 0, 5)
		if err != nil {
			return bson.E{}, err
		}
		if len(docs) == maxBatch {
			return bson.E{}, fmt.Errorf("more than %d documents in a sequence", maxBatch)
		}
		doc, err := d.document(piece, 1)
		if err != nil {
			return bson.E{}, err
		}
		docs, src = append(docs, doc), rest
	}
	return bson.E{Key: name, Value: docs}, nil
}

// decodeQuery reads the legacy OP_QUERY, which is served for the first handshake only.
func decodeQuery(body []byte) (bson.D, error) {
	if len(body) < 4 {
		return nil, errMalformed
	}
	end := bytes.IndexByte(body[4:], 0)
	if end < 0 || len(body) < 4+end+1+8 {
		return nil, errMalformed
	}
	piece, _, err := sized(body[4+end+1+8:], 0, 5)
	if err != nil {
		return nil, err
	}
	command, err := (&decoder{values: maxValues}).document(piece, 1)
	if err != nil {
		return nil, err
	}
	collection := string(body[4 : 4+end])
	if len(command) == 0 || collection != "admin.$cmd" {
		return nil, fail(codeUnsupportedOpQuery, "OP_QUERY is for isMaster and hello only, not for %s", collection)
	}
	switch command[0].Key {
	case "isMaster", "ismaster", "hello":
		return append(command, bson.E{Key: "$db", Value: "admin"}), nil
	}
	return nil, fail(codeUnsupportedOpQuery, "OP_QUERY is for isMaster and hello only, not for %s", command[0].Key)
}

// encodeReply writes a whole answer, in the form that the request had.
func encodeReply(to message, id int32, doc bson.D) []byte {
	op := uint32(opMsg)
	dst := make([]byte, 16, 512)
	if to.op == opQuery {
		op = opReply
		dst = append(dst, 8, 0, 0, 0) // AwaitCapable
		dst = append(dst, make([]byte, 12)...)
		dst = append(dst, 1, 0, 0, 0) // one document
	} else {
		dst = append(dst, 0, 0, 0, 0, 0) // no flags, a section of kind 0
	}
	dst = appendDocument(dst, doc)
	binary.LittleEndian.PutUint32(dst, uint32(len(dst)))
	binary.LittleEndian.PutUint32(dst[4:], uint32(id))
	binary.LittleEndian.PutUint32(dst[8:], uint32(to.request))
	binary.LittleEndian.PutUint32(dst[12:], op)
	return dst
}
