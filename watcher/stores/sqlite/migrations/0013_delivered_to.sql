-- Lists of what a channel was sent, the newest first. Nothing is added to it when an event is stored.
CREATE INDEX deliveries_delivered_to ON deliveries (channel, id) WHERE state = 'delivered';
