package main

import (
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// helloFields are what drivers send in their handshake. None of it changes the answer: no compression and no authentication is offered.
func helloFields() []string {
	return []string{"helloOk", "client", "compression", "saslSupportedMechs", "speculativeAuthenticate", "backpressure"}
}

func hello(c *call) (bson.D, error) {
	s := c.server
	primary := "isWritablePrimary"
	if c.name != "hello" {
		primary = "ismaster"
	}
	doc := bson.D{{Key: "helloOk", Value: true}, {Key: primary, Value: true}}
	if s.setName != "" {
		doc = append(
			doc, bson.E{Key: "setName", Value: s.setName}, bson.E{Key: "setVersion", Value: int32(1)},
			bson.E{Key: "secondary", Value: false}, bson.E{Key: "hosts", Value: bson.A{s.advertise}},
			bson.E{Key: "primary", Value: s.advertise}, bson.E{Key: "me", Value: s.advertise},
		)
	}
	return append(doc, bson.D{
		{Key: "maxBsonObjectSize", Value: int32(maxDocument)},
		{Key: "maxMessageSizeBytes", Value: int32(maxMessage)},
		{Key: "maxWriteBatchSize", Value: int32(maxBatch)},
		{Key: "localTime", Value: primitive.NewDateTimeFromTime(time.Now())},
		{Key: "logicalSessionTimeoutMinutes", Value: int32(sessionTimeout / time.Minute)},
		{Key: "connectionId", Value: c.conn.id},
		{Key: "minWireVersion", Value: int32(0)},
		{Key: "maxWireVersion", Value: s.wireVersion},
		{Key: "readOnly", Value: false},
	}...), nil
}

// buildInfo names a version that nobody takes for a real server's.
func buildInfo(*call) (bson.D, error) {
	return bson.D{
		{Key: "version", Value: "7.0.0-mongowire"},
		{Key: "gitVersion", Value: "mongowire, a stand-in for tests"},
		{Key: "versionArray", Value: bson.A{int32(7), int32(0), int32(0), int32(0)}},
		{Key: "modules", Value: bson.A{"mongowire"}},
		{Key: "maxBsonObjectSize", Value: int32(maxDocument)},
	}, nil
}

func saslStart(c *call) (bson.D, error) {
	if c.server.authFail {
		return nil, fail(codeAuthenticationFailed, "Authentication failed.")
	}
	return nil, refuse("authentication")
}
