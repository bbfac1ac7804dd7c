-- Takes away switches, promotions and the rule that tied them to the route.
DROP TRIGGER generation_route ON generation;
DROP TRIGGER environment_route ON environment;
DROP TRIGGER environment_begin ON environment;
DROP TABLE switch;
DROP FUNCTION part_route_check();
DROP FUNCTION environment_route_check();
DROP FUNCTION route_check(text);
DROP FUNCTION switch_guard();
DROP TABLE promotion;
DROP FUNCTION promotion_guard();
DROP TABLE promotion_move;
